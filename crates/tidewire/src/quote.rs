//! Text that is printed to be pasted: words of a shell, paths of a URL, and our own name.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// RFC 3986, section 2.3: what never needs encoding; and `/`, which `/topics/{topic}` takes as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');
const QUERY: &AsciiSet = &PATH.add(b'/');

/// One word of a POSIX shell command, quoted only if it must be.
pub(crate) fn shell(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte);
    // A leading `=` or `~` means something to zsh; `~` is not among the plain ones anywhere.
    if !word.is_empty() && !word.starts_with('=') && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A command line of these words.
pub(crate) fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(shell).collect();
    words.join(" ")
}

/// The path of a topic: `/topics/{topic}`, or the query that means the same for a name that no URL keeps as a path.
pub(crate) fn topic_path(topic: &str, hub_path: &str) -> String {
    match topic {
        // WHATWG URL, "double-dot URL path segment": even encoded, these vanish.
        "." | ".." => format!("{hub_path}?topic={}", query_value(topic)),
        _ if topic.split('/').any(|part| matches!(part, "" | "." | "..")) => {
            format!("/topics/{}", query_value(topic))
        }
        _ => format!("/topics/{}", utf8_percent_encode(topic, PATH)),
    }
}

/// A value in a query.
pub(crate) fn query_value(value: &str) -> String {
    utf8_percent_encode(value, QUERY).to_string()
}

/// How to call this program from here: by its name if that finds it, else by its path.
pub(crate) fn program() -> String {
    let Ok(own) = std::env::current_exe() else {
        return "tidewire".to_owned();
    };
    let same = |folder: &Path| {
        let candidate = folder.join("tidewire");
        candidate.canonicalize().ok() == own.canonicalize().ok()
    };
    let found = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).find(|f| f.join("tidewire").is_file()))
        .is_some_and(|folder| same(&folder));
    if found {
        "tidewire".to_owned()
    } else {
        shell(&own.to_string_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        let words = [
            "plain",
            "",
            "two words",
            "it's",
            "$HOME",
            "a;b",
            "*",
            "#1-2",
            "~",
            "=x",
            "a\"b",
            "a\\b",
            "`id`",
            "ü",
            "new\nline",
            "-n",
            "!x",
            "a&b?c=d",
            "(x)",
            "{a,b}",
        ];
        for word in words {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", command([word]))])
                .output()
                .unwrap();
            // printf itself takes a leading dash for an option only in its first word, which is the format.
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
        assert_eq!(command(["a", "b c"]), "a 'b c'");
    }

    #[test]
    fn topics_survive_a_url() {
        for (topic, path) in [
            ("clock", "/topics/clock"),
            ("orders/42", "/topics/orders/42"),
            ("a b?c#d%", "/topics/a%20b%3Fc%23d%25"),
            ("ü", "/topics/%C3%BC"),
            ("https://x/y", "/topics/https%3A%2F%2Fx%2Fy"),
            ("a/../b", "/topics/a%2F..%2Fb"),
            ("..", "/.well-known/mercure?topic=.."),
        ] {
            assert_eq!(topic_path(topic, tidewire_hub::HUB_PATH), path);
        }
        assert_eq!(query_value("#1-2/é&"), "%231-2%2F%C3%A9%26");
    }
}
