//! Rust source with comments, strings and whatever a `cfg` switches off blanked out, so that words can be looked for.
//!
//! Not a parser: it knows where a comment, a literal and an item end, and keeps line numbers as they are.

use std::fs;
use std::path::{Path, PathBuf};

/// Every `.rs` file below `folder`, in order; none when there is no such folder.
pub(super) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return files;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// `text` with comments and the insides of literals replaced by blanks.
pub(super) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, keeps) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
            '/' if rest.starts_with("/*") => (block_comment_length(rest), false),
            '"' => (string_length(rest), false),
            'r' if ends_word(&code) && raw_string_length(rest).is_some() => {
                (raw_string_length(rest).unwrap_or(1), false)
            }
            '\'' => (char_length(rest), false),
            _ => (first.len_utf8(), true),
        };
        let (piece, remaining) = rest.split_at(length);
        if keeps {
            code.push_str(piece);
        } else {
            code.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = remaining;
    }
    code
}

fn ends_word(code: &str) -> bool {
    !code
        .chars()
        .next_back()
        .is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn block_comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"..."` or `r#"..."#`; none when `text` is only a word that begins with r.
fn raw_string_length(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    let open = 1 + hashes;
    if !text[open..].starts_with('"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let body = &text[open + 1..];
    Some(
        body.find(&close)
            .map_or(text.len(), |end| open + 1 + end + close.len()),
    )
}

/// The length of a character literal; of the quote alone when this is a lifetime.
fn char_length(text: &str) -> usize {
    let mut inside = text[1..].char_indices();
    match inside.next() {
        Some((_, '\\')) => text[2..]
            .char_indices()
            .skip(1)
            .find(|(_, c)| *c == '\'')
            .map_or(1, |(at, _)| at + 3),
        Some(_) => match inside.next() {
            Some((at, '\'')) => at + 2,
            _ => 1,
        },
        None => 1,
    }
}

/// `text` (whole source) as code, with the items switched off by `is_off` blanked out. `is_off` sees the text
/// inside `#[cfg(...)]`. Second: the names of modules in files of their own (`mod name;`) that are off.
pub(super) fn code_in_force(text: &str, is_off: impl Fn(&str) -> bool) -> (String, Vec<String>) {
    let code = code_only(text);
    let mut kept = String::with_capacity(code.len());
    let mut modules_off = Vec::new();
    let mut at = 0;
    while let Some(found) = code[at..].find("#[cfg(") {
        let start = at + found;
        let length = bracket_length(&code[start + 1..], '[', ']') + 1;
        // The condition's feature names are literals, so it is read from the text itself: both have the same
        // length up to here only when counted in characters.
        let condition = same_place(text, &code, start, length);
        kept.push_str(&code[at..start]);
        let end = start + length;
        if is_off(&condition) {
            let item = item_length(&code[end..]);
            if let Some(module) = outline_module(&code[end..end + item]) {
                modules_off.push(module);
            }
            kept.extend(
                code[start..end + item]
                    .chars()
                    .map(|c| if c == '\n' { '\n' } else { ' ' }),
            );
            at = end + item;
        } else {
            kept.push_str(&code[start..end]);
            at = end;
        }
    }
    kept.push_str(&code[at..]);
    (kept, modules_off)
}

/// The part of `text` that stands where `code[start..start + length]` stands.
fn same_place(text: &str, code: &str, start: usize, length: usize) -> String {
    let before = code[..start].chars().count();
    let count = code[start..start + length].chars().count();
    text.chars().skip(before).take(count).collect()
}

/// The length of a bracketed group that opens at or after the start of `text`.
fn bracket_length(text: &str, open: char, close: char) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close && depth > 0 {
            depth -= 1;
            if depth == 0 {
                return at + c.len_utf8();
            }
        }
    }
    text.len()
}

/// The length of the item (or field, or statement) that an attribute stands before.
fn item_length(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return at,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return at + bracket_length(&text[at..], '{', '}'),
            ';' | ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn outline_module(item: &str) -> Option<String> {
    let declaration = item.trim().strip_suffix(';')?;
    let (before, name) = declaration.rsplit_once("mod ")?;
    (before.is_empty() || before.ends_with([' ', '\n', ']'])).then(|| name.trim().to_owned())
}

/// Whether `word` stands in `line` with no letter, digit or underscore around it.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(is_part)
            && !line[at + word.len()..].chars().next().is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        for (text, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x \" y") g"#, "f(        ) g"),
            (r##"f(r#"a " b"#) g"##, "f(          ) g"),
            ("'x' 'a '\\n' '\\'' z", "    'a           z"),
            ("for<'a> fn(&'a str)", "for<'a> fn(&'a str)"),
            ("bar\"s\"", "bar   "),
        ] {
            let code = code_only(text);
            let blank = |s: &str| s.replace('\'', " ");
            assert_eq!(blank(&code), blank(expected), "{text}");
        }
    }

    #[test]
    fn what_a_cfg_switches_off_is_blanked() {
        let is_off: fn(&str) -> bool = |condition| condition.contains("test");
        for (text, kept, modules) in [
            (
                "#[cfg(test)]\nmod tests { use std::fs; }\nfn a() {}",
                "fn a() {}",
                vec![],
            ),
            (
                "#[cfg(test)] mod tests;\nfn a() {}",
                "fn a() {}",
                vec!["tests"],
            ),
            (
                "#[cfg(test)]\n#[path = \"x.rs\"]\npub mod deep;\nfn a() {}",
                "fn a() {}",
                vec!["deep"],
            ),
            ("#[cfg(unix)] fn a() {}", "#[cfg(unix)] fn a() {}", vec![]),
            (
                "struct S { #[cfg(test)] a: Vec<(u8, u8)>, b: u8 }",
                "struct S {  b: u8 }",
                vec![],
            ),
            (
                "#[cfg(test)] fn a(x: [u8; 2]) -> u8 { 1 } fn b() {}",
                "fn b() {}",
                vec![],
            ),
        ] {
            let (code, off) = code_in_force(text, is_off);
            let squeeze = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(squeeze(&code), squeeze(kept), "{text}");
            assert_eq!(off, modules, "{text}");
        }
    }

    #[test]
    fn a_word_ends_where_letters_end() {
        for (line, word, expected) in [
            ("use std::fs;", "std::fs", true),
            ("std::fs::read", "std::fs", true),
            ("std::fsync", "std::fs", false),
            ("operand", "rand", false),
        ] {
            assert_eq!(has_word(line, word), expected, "{line} / {word}");
        }
    }
}
