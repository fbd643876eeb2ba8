//! SPDX licence expressions, as manifests write them: `MIT OR Apache-2.0`, `(A OR B) AND C WITH E`, and the old `MIT/Apache-2.0`.

/// Whether the terms can be met by `allowed` licences alone. A licence with an exception counts as one name,
/// `Apache-2.0 WITH LLVM-exception`. `Err` when the expression cannot be read.
pub(super) fn is_met(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut terms = Terms {
        tokens: &tokens,
        allowed,
    };
    let met = terms.any()?;
    match terms.tokens.first() {
        None => Ok(met),
        Some(token) => Err(format!("`{token}` is not expected in `{expression}`")),
    }
}

struct Terms<'a> {
    tokens: &'a [&'a str],
    allowed: &'a [String],
}

impl Terms<'_> {
    /// OR binds weakest (SPDX 2.3, annex D.4).
    fn any(&mut self) -> Result<bool, String> {
        let mut met = self.all()?;
        while self.takes("OR") {
            met |= self.all()?;
        }
        Ok(met)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut met = self.one()?;
        while self.takes("AND") {
            met &= self.one()?;
        }
        Ok(met)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.takes("(") {
            let met = self.any()?;
            return if self.takes(")") {
                Ok(met)
            } else {
                Err("a parenthesis is not closed".into())
            };
        }
        let name = self.name()?;
        let full_name = if self.takes("WITH") {
            format!("{name} WITH {}", self.name()?)
        } else {
            name
        };
        Ok(self.allowed.contains(&full_name))
    }

    fn name(&mut self) -> Result<String, String> {
        match self.tokens.split_first() {
            Some((name, rest)) if !matches!(*name, "OR" | "AND" | "WITH" | "(" | ")") => {
                self.tokens = rest;
                Ok((*name).to_owned())
            }
            Some((token, _)) => Err(format!("a licence is expected where `{token}` stands")),
            None => Err("a licence is expected at the end".into()),
        }
    }

    fn takes(&mut self, token: &str) -> bool {
        match self.tokens.split_first() {
            Some((first, rest)) if *first == token => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let allowed = [
            "MIT",
            "Apache-2.0",
            "Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ]
        .map(String::from);
        for (expression, expected) in [
            ("MIT", Ok(true)),
            ("GPL-3.0", Ok(false)),
            ("MIT OR GPL-3.0", Ok(true)),
            ("MIT/Apache-2.0", Ok(true)),
            ("MIT AND GPL-3.0", Ok(false)),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", Ok(true)),
            ("GPL-3.0 OR MIT AND Unicode-3.0", Ok(true)),
            ("(GPL-3.0 OR MIT) AND GPL-3.0", Ok(false)),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", Ok(true)),
            ("MIT WITH LLVM-exception", Ok(false)),
            ("", Err(())),
            ("MIT OR", Err(())),
            ("(MIT", Err(())),
            ("MIT)", Err(())),
            ("MIT Apache-2.0", Err(())),
        ] {
            assert_eq!(
                is_met(expression, &allowed).map_err(|_| ()),
                expected,
                "{expression}"
            );
        }
    }
}
