//! Asks a language model, and prints its answer as it comes.
//!
//! `OPENAI_API_KEY=... cargo run -p tidewire-client --example llm -- Why is the sea salty?`
//!
//! Any server with OpenAI's interface does, a local one too: `OPENAI_BASE_URL=http://127.0.0.1:11434/v1 OPENAI_MODEL=llama3.2`.

// A command line program: what it prints is what it is for.
#![allow(clippy::print_stderr)]

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};
use tidewire_client::FiniteStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Whom to ask.
pub(crate) struct Model {
    /// Up to and without `/chat/completions`.
    pub(crate) base_url: String,
    pub(crate) key: String,
    pub(crate) name: String,
}

/// Writes the answer to `out`, piece by piece.
pub(crate) async fn ask(
    model: &Model,
    question: &str,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let body = json!({
        "model": model.name,
        "stream": true,
        "messages": [{ "role": "user", "content": question }],
    });
    let mut answer = FiniteStream::post(&format!("{}/chat/completions", model.base_url))
        .bearer_token(&model.key)
        .json(body.to_string())
        .ends_at_data("[DONE]")
        .send()
        .await?;
    while let Some(event) = answer.next_event().await? {
        let piece: Value = serde_json::from_str(&event.data)?;
        // What goes wrong after the answer has begun comes within it.
        if let Some(error) = piece.get("error") {
            return Err(error["message"].as_str().unwrap_or(&event.data).into());
        }
        if let Some(text) = piece["choices"][0]["delta"]["content"].as_str() {
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
    }
    out.write_all(b"\n")?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let question: Vec<String> = std::env::args().skip(1).collect();
    if question.is_empty() {
        eprintln!("usage: llm QUESTION   (OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_MODEL)");
        return ExitCode::from(2);
    }
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let model = Model {
        base_url: variable("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        key: variable("OPENAI_API_KEY", "none"),
        name: variable("OPENAI_MODEL", "gpt-4o-mini"),
    };
    match ask(&model, &question.join(" "), &mut io::stdout()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
