//! JSON objects read strictly: what two readers could understand differently is refused.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How deep objects and arrays of a token or a key may be nested.
pub(crate) const DEPTH_MAX: usize = 16;

/// Why bytes are no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// They are no JSON object.
    Shape,
    /// A member is there twice. RFC 7515, section 4, lets a reader refuse it or take the last: those who check and those who
    /// use a token might disagree.
    Duplicate,
    /// Nested deeper than [`DEPTH_MAX`].
    Depth,
}

/// One object, with nothing behind it.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }
        .deserialize(&mut reader)
        .map_err(|error| why(&error))?;
    reader.end().map_err(|_| JsonError::Shape)?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(JsonError::Shape),
    }
}

const DUPLICATE: &str = "duplicate member";
const DEPTH: &str = "nested too deep";

/// serde's errors are words; these two are ours and begin their text.
fn why(error: &serde_json::Error) -> JsonError {
    let text = error.to_string();
    if text.starts_with(DUPLICATE) {
        JsonError::Duplicate
    } else if text.starts_with(DEPTH) {
        JsonError::Depth
    } else {
        JsonError::Shape
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(DEPTH));
        }
        Ok(Self {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(deeper)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom(DUPLICATE));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_understood_in_two_ways_is_refused() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        #[rustfmt::skip]
        let table = [
            (r#"{"a":[1,-2,3.5,"x",null,true,{"b":1}]}"#.to_owned(), None),
            (r#"{"a":1,"a":1}"#.to_owned(), Some(JsonError::Duplicate)),
            // The same name, once with an escape.
            (r#"{"a":1,"\u0061":1}"#.to_owned(), Some(JsonError::Duplicate)),
            (r#"{"b":[{"a":1,"a":2}]}"#.to_owned(), Some(JsonError::Duplicate)),
            (r#"{"a":"duplicate member","#.to_owned(), Some(JsonError::Shape)),
            (r#"{"a":1}{"#.to_owned(), Some(JsonError::Shape)),
            (r#"{"a":01}"#.to_owned(), Some(JsonError::Shape)),
            ("[]".to_owned(), Some(JsonError::Shape)),
            (String::new(), Some(JsonError::Shape)),
            (nested(DEPTH_MAX - 1), None),
            (nested(DEPTH_MAX), Some(JsonError::Depth)),
            (nested(10_000), Some(JsonError::Depth)),
        ];
        for (text, want) in table {
            assert_eq!(object(text.as_bytes()).err(), want, "{text:.60}");
        }
    }
}
