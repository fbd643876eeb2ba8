//! What a case writes with `${...}`: variables, percent-encoding, repetition; and patterns that answers are held against.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use regex::Regex;
use serde_json::Value;

/// The names that a case may use.
pub(super) type Variables = BTreeMap<String, String>;

/// Fills in `${name}`, `${enc:name}` (percent-encoded, only unreserved characters bare) and `${repeat:N:text}`, in which `#` is
/// the repetition's number.
pub(super) fn fill(text: &str, variables: &Variables) -> Result<String, String> {
    fill_with(text, variables, |value| value)
}

/// The same, each value passed through `finish`.
fn fill_with(
    text: &str,
    variables: &Variables,
    finish: fn(String) -> String,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let inside = &rest[at + 2..];
        let end = closing(inside).ok_or_else(|| format!("{text:?}: `${{` without its end"))?;
        out.push_str(&finish(value(&inside[..end], variables)?));
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the brace is closed that stands before the text; what it holds may have braces of its own.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    text.bytes().position(|byte| {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        open == 0
    })
}

fn value(name: &str, variables: &Variables) -> Result<String, String> {
    if let Some(rest) = name.strip_prefix("repeat:") {
        let (count, text) = rest
            .split_once(':')
            .ok_or_else(|| format!("`{name}` has no text"))?;
        let count: usize = count
            .parse()
            .map_err(|_| format!("`{name}` has no number"))?;
        return Ok((0..count)
            .map(|n| text.replace('#', &n.to_string()))
            .collect());
    }
    let (encode, name) = match name.strip_prefix("enc:") {
        Some(name) => (true, name),
        None => (false, name),
    };
    let value = variables
        .get(name)
        .ok_or_else(|| format!("nothing is called `{name}` here"))?;
    // A row's value may itself name a variable.
    let value = match value.contains("${") {
        true => fill(value, variables)?,
        false => value.clone(),
    };
    Ok(if encode { encoded(&value) } else { value })
}

/// RFC 3986, section 2.3: only unreserved characters stay.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

/// The pairs of a query or a form.
pub(super) fn form(pairs: &[(String, String)], variables: &Variables) -> Result<String, String> {
    let pairs = pairs.iter().map(|(name, value)| {
        let name = encoded(&fill(name, variables)?);
        let value = encoded(&fill(value, variables)?);
        Ok(format!("{name}={value}"))
    });
    Ok(pairs.collect::<Result<Vec<_>, String>>()?.join("&"))
}

/// Whether a text is what is wanted: equal, or after `~` a regular expression that is found in it.
pub(super) fn fits(wanted: &str, seen: &str, variables: &Variables) -> Result<bool, String> {
    match wanted.strip_prefix('~') {
        None => Ok(fill(wanted, variables)? == seen),
        Some(pattern) => {
            let pattern = fill_with(pattern, variables, |value| regex::escape(&value))?;
            Regex::new(&pattern)
                .map(|regex| regex.is_match(seen))
                .map_err(|error| format!("{pattern}: {error}"))
        }
    }
}

/// Holds JSON against what is wanted: a table's members must be there, others may be; a list that begins with "..." must hold
/// each of its items somewhere, another has exactly its items. `Err` says where they differ.
pub(super) fn json_fits(
    wanted: &toml::Value,
    seen: &Value,
    variables: &Variables,
) -> Result<(), String> {
    let differs = |what: String| Err(format!("{what}, not {seen}"));
    match (wanted, seen) {
        (toml::Value::Table(wanted), Value::Object(members)) => {
            for (name, wanted) in wanted {
                let name = fill(name, variables)?;
                let Some(seen) = members.get(&name) else {
                    return Err(format!("no member `{name}` in {seen}"));
                };
                json_fits(wanted, seen, variables).map_err(|why| format!("`{name}`: {why}"))?;
            }
            Ok(())
        }
        (toml::Value::Array(wanted), Value::Array(items)) => {
            if wanted.first().and_then(toml::Value::as_str) == Some("...") {
                for one in &wanted[1..] {
                    if !items
                        .iter()
                        .any(|item| json_fits(one, item, variables).is_ok())
                    {
                        return differs(format!("an item like {one} is wanted"));
                    }
                }
                return Ok(());
            }
            if wanted.len() != items.len() {
                return differs(format!("{} items are wanted", wanted.len()));
            }
            for (wanted, item) in wanted.iter().zip(items) {
                json_fits(wanted, item, variables)?;
            }
            Ok(())
        }
        (toml::Value::String(wanted), Value::String(text)) => {
            if fits(wanted, text, variables)? {
                Ok(())
            } else {
                differs(format!("{wanted:?} is wanted"))
            }
        }
        (toml::Value::Integer(number), _) if seen.as_i64() == Some(*number) => Ok(()),
        (toml::Value::Boolean(wanted), _) if seen.as_bool() == Some(*wanted) => Ok(()),
        _ => differs(format!("{wanted} is wanted")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        [("t", "a/b"), ("row", "x${t}")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn variables_are_filled_in() {
        let table = [
            ("plain {id}", Ok("plain {id}")),
            ("${t}/{id}", Ok("a/b/{id}")),
            ("${enc:t}", Ok("a%2Fb")),
            ("${row}", Ok("xa/b")),
            ("${repeat:3:p#&}", Ok("p0&p1&p2&")),
            ("${repeat:2:{#}}!", Ok("{0}{1}!")),
            ("${nobody}", Err(())),
            ("${t", Err(())),
        ];
        for (text, want) in table {
            let got = fill(text, &variables());
            assert_eq!(got.as_deref().map_err(|_| ()), want, "{text}");
        }
    }

    #[test]
    fn texts_are_held_against_patterns() {
        let table = [
            ("a", "a", true),
            ("a", "ab", false),
            ("~^a.$", "ab", true),
            ("~^${t}$", "a/b", true),
            ("${t}", "a/b", true),
            ("~^${enc:t}.$", "a%2Fb!", true),
            ("~^${row}$", "xa/b", true),
        ];
        for (wanted, seen, want) in table {
            assert_eq!(
                fits(wanted, seen, &variables()),
                Ok(want),
                "{wanted} {seen}"
            );
        }
    }

    #[test]
    fn json_is_held_against_tables() {
        let table = [
            (r#"v = {a = 1}"#, r#"{"a":1,"b":2}"#, true),
            (r#"v = {a = 1}"#, r#"{"a":"1"}"#, false),
            (r#"v = {a = 1}"#, r#"{"b":1}"#, false),
            (r#"v = ["x"]"#, r#"["x"]"#, true),
            (r#"v = ["x"]"#, r#"["x","y"]"#, false),
            (r#"v = ["...", "y"]"#, r#"["x","y"]"#, true),
            (r#"v = ["...", "z"]"#, r#"["x","y"]"#, false),
            (r#"v = "~^${t}""#, r#""a/b/c""#, true),
            (r#"v = true"#, r#"false"#, false),
        ];
        for (wanted, seen, want) in table {
            let wanted: toml::Table = toml::from_str(wanted).unwrap();
            let seen = serde_json::from_str(seen).unwrap();
            let got = json_fits(&wanted["v"], &seen, &variables());
            assert_eq!(got.is_ok(), want, "{wanted} {seen}: {got:?}");
        }
    }
}
