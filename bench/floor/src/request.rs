//! As much of HTTP/1.1 as a load generator and curl need: request line, Content-Length, pipelining. No chunked requests.

use memchr::{memchr, memmem};

/// What the first bytes of a connection's input are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// More bytes are needed.
    Partial,
    Get {
        path: &'a [u8],
    },
    Post {
        path: &'a [u8],
        body: &'a [u8],
        /// How many bytes of the input this request was.
        length: usize,
    },
    /// Answered by 400 and the end.
    Wrong,
}

pub(crate) fn parse(input: &[u8]) -> Parsed<'_> {
    let Some(head_end) = memmem::find(input, b"\r\n\r\n") else {
        return Parsed::Partial;
    };
    let mut lines = input[..head_end].split(|byte| *byte == b'\n');
    let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Parsed::Wrong;
    };
    let path = &target[..memchr(b'?', target).unwrap_or(target.len())];
    match method {
        b"GET" => Parsed::Get { path },
        b"POST" => {
            let Some(body_bytes) = lines.find_map(content_length) else {
                return Parsed::Wrong;
            };
            let body_from = head_end + 4;
            let length = body_from + body_bytes;
            match input.get(body_from..length) {
                Some(body) => Parsed::Post { path, body, length },
                None => Parsed::Partial,
            }
        }
        _ => Parsed::Wrong,
    }
}

/// RFC 9110, section 8.6. `None` for every other header.
fn content_length(line: &[u8]) -> Option<usize> {
    let (name, value) = line.split_at(memchr(b':', line)?);
    if !name.eq_ignore_ascii_case(b"content-length") {
        return None;
    }
    std::str::from_utf8(&value[1..]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let post = b"POST /topics/a?x=1 HTTP/1.1\r\nHost: x\r\ncontent-length: 5\r\n\r\nhelloGET";
        for (input, expected) in [
            (&b"GET /a HTTP/1.1\r\nHost: x\r\n"[..], Parsed::Partial),
            (
                b"GET /topics/a?b HTTP/1.1\r\nHost: x\r\n\r\n",
                Parsed::Get { path: b"/topics/a" },
            ),
            (
                post,
                Parsed::Post {
                    path: b"/topics/a",
                    body: b"hello",
                    length: post.len() - 3,
                },
            ),
            (&post[..post.len() - 4], Parsed::Partial),
            (b"POST /a HTTP/1.1\r\n\r\n", Parsed::Wrong),
            (b"PUT /a HTTP/1.1\r\n\r\n", Parsed::Wrong),
            (b"\r\n\r\n", Parsed::Wrong),
        ] {
            assert_eq!(parse(input), expected, "{}", String::from_utf8_lossy(input));
        }
    }
}
