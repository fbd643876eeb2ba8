//! Times as others read them: the Date of answers that hyper does not write, and RFC 3339.

use std::cell::RefCell;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The length of every such date.
pub(crate) const DATE_BYTES: usize = 29;

/// RFC 9110, section 5.6.7: IMF-fixdate. Written once a second and thread.
pub(crate) fn http_date(now_ms: u64) -> [u8; DATE_BYTES] {
    thread_local! {
        static LAST: RefCell<(u64, [u8; DATE_BYTES])> = RefCell::new((0, written(0)));
    }
    let second = now_ms / 1000;
    LAST.with_borrow_mut(|last| {
        if last.0 != second {
            *last = (second, written(second));
        }
        last.1
    })
}

/// RFC 3339, in UTC, with as many digits of the second as it takes.
pub(crate) fn rfc3339(time_ms: u64) -> String {
    let nanos = i128::from(time_ms) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
}

fn written(second: u64) -> [u8; DATE_BYTES] {
    let second = i64::try_from(second).unwrap_or_default();
    let at = OffsetDateTime::from_unix_timestamp(second)
        .ok()
        .filter(|at| at.year() <= 9999)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let weekday = at.weekday().to_string();
    let month = at.month().to_string();
    let date = format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        &weekday[..3],
        at.day(),
        &month[..3],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    );
    date.as_bytes().try_into().expect("every date has 29 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_exact() {
        let table = [
            (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777_999, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (1_795_250_000_123, "Sat, 21 Nov 2026 08:33:20 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (u64::MAX, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ];
        for (now_ms, want) in table {
            assert_eq!(http_date(now_ms), want.as_bytes(), "{now_ms}");
        }
    }
}
