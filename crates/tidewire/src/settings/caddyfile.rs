//! Directives as a Caddyfile writes them: words, quotations, blocks in braces, comments, placeholders of the environment. As much of
//! it as the reference Mercure hub's directives need; what they mean is `mercure`'s.

/// One directive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) words: Vec<String>,
    pub(super) block: Vec<Directive>,
}

impl Directive {
    /// Its only value.
    pub(super) fn one(&self) -> Result<&str, String> {
        match &*self.words {
            [word] => Ok(word),
            _ => Err(format!("it takes one value, not {}", self.words.len())),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Open,
    Close,
    LineEnd,
}

/// Reads directives; `variable` gives the environment's values for placeholders.
pub(super) fn parse(
    text: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Directive>, String> {
    let mut tokens = tokens(text, &variable)?.into_iter();
    block(&mut tokens, false)
}

/// To the end, or to the brace that closes it.
fn block(
    tokens: &mut impl Iterator<Item = Token>,
    is_inner: bool,
) -> Result<Vec<Directive>, String> {
    let mut directives: Vec<Directive> = Vec::new();
    let mut is_begun = false;
    loop {
        match (tokens.next(), is_begun) {
            (Some(Token::LineEnd), _) => is_begun = false,
            (Some(Token::Word(name)), false) => {
                is_begun = true;
                directives.push(Directive {
                    name,
                    ..Directive::default()
                });
            }
            (Some(Token::Word(word)), true) => {
                if let Some(directive) = directives.last_mut() {
                    directive.words.push(word);
                }
            }
            (Some(Token::Open), true) => {
                let inner = block(tokens, true)?;
                if let Some(directive) = directives.last_mut() {
                    directive.block = inner;
                }
                is_begun = false;
            }
            (Some(Token::Close), _) if is_inner => return Ok(directives),
            (None, _) if !is_inner => return Ok(directives),
            (Some(Token::Open | Token::Close) | None, _) => {
                return Err("its braces do not pair".to_owned());
            }
        }
    }
}

fn tokens(text: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    for line in text.lines() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            if first == '#' {
                break;
            }
            let after = if matches!(first, '"' | '`') {
                let (word, after) = quoted(&rest[1..], first)?;
                tokens.push(Token::Word(filled(&word, variable)));
                after
            } else {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                tokens.push(match &rest[..end] {
                    "{" => Token::Open,
                    "}" => Token::Close,
                    word => Token::Word(filled(word, variable)),
                });
                &rest[end..]
            };
            rest = after.trim_start();
        }
        tokens.push(Token::LineEnd);
    }
    Ok(tokens)
}

/// What stands before the quotation's end, and after it.
fn quoted(text: &str, mark: char) -> Result<(String, &str), String> {
    let mut word = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == mark => return Ok((word, &text[at + 1..])),
            '\\' if mark == '"' && text[at + 1..].starts_with('"') => {
                word.push('"');
                chars.next();
            }
            c => word.push(c),
        }
    }
    Err("a quotation does not end in its line".to_owned())
}

/// A word with its placeholders filled: `{$NAME}`, `{$NAME:default}`, `{env.NAME}`.
fn filled(word: &str, variable: &impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, from)) = rest.split_once('{') {
        let Some((inside, after)) = from.split_once('}') else {
            break;
        };
        let value = match (inside.strip_prefix('$'), inside.strip_prefix("env.")) {
            (Some(named), _) => {
                let (name, default) = named.split_once(':').unwrap_or((named, ""));
                variable(name).unwrap_or_else(|| default.to_owned())
            }
            (None, Some(name)) => variable(name).unwrap_or_default(),
            (None, None) => format!("{{{inside}}}"),
        };
        out.push_str(before);
        out.push_str(&value);
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(directives: &[Directive]) -> String {
        let one = |directive: &Directive| {
            let mut words = vec![directive.name.clone()];
            words.extend(directive.words.iter().map(|word| format!("<{word}>")));
            if !directive.block.is_empty() {
                words.push(format!("({})", shown(&directive.block)));
            }
            words.join(" ")
        };
        directives.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn directives() {
        let variable = |name: &str| (name == "A").then(|| "value".to_owned());
        #[rustfmt::skip]
        let table = [
            ("", Ok("")),
            ("  a \n\n\tb c  d # not this\n#nor this", Ok("a; b <c> <d>")),
            ("a \"b c\" `d \"e`", Ok("a <b c> <d \"e>")),
            ("a \"b \\\" c\"", Ok("a <b \" c>")),
            ("a b {\n c d\n e {\n f\n }\n}\ng", Ok("a <b> (c <d>; e (f)); g")),
            ("a {$A} {$B:x} {env.A}b {other}", Ok("a <value> <x> <valueb> <{other}>")),
            ("a b#c", Ok("a <b#c>")),
            ("a \"b", Err("quotation")),
            ("a {", Err("braces")),
            ("a }", Err("braces")),
            ("{", Err("braces")),
        ];
        for (text, want) in table {
            let got = parse(text, variable);
            match want {
                Ok(want) => assert_eq!(shown(&got.unwrap()), want, "{text}"),
                Err(words) => assert!(got.unwrap_err().contains(words), "{text}"),
            }
        }
    }
}
