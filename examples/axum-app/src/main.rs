//! `cargo run -p axum-app [ADDRESS [DIRECTORY]]`: the application on an address, with what it keeps in a directory.

use std::io;
use std::path::PathBuf;

use axum_app::App;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let address = args.next().unwrap_or("127.0.0.1:8000".into());
    let address = address.to_string_lossy().into_owned();
    let dir = args.next().map_or("axum-app-data".into(), PathBuf::from);
    std::fs::create_dir_all(&dir)?;
    let app = App::open(&dir)?;
    let listener = TcpListener::bind(address).await?;
    say(&format!("open http://{}/", listener.local_addr()?));
    let interrupted = async {
        // Without signals it runs until it is killed.
        let _ = tokio::signal::ctrl_c().await;
    };
    app.serve(listener, interrupted).await
}

#[expect(clippy::print_stdout, reason = "a program may say where it is")]
fn say(line: &str) {
    println!("{line}");
}
