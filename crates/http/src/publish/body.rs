//! A whole body, bounded in bytes and in time.

use axum::body::Body;
use http_body_util::BodyExt;

use crate::front::Front;
use crate::problem::Problem;

/// How much of a body that is too large is read and dropped, so that a client which writes before it reads sees the answer
/// and not a reset, in bytes.
const DROPPED_BYTES_MAX: usize = 8 << 20;

/// Reads it. `limit` names the setting that bounds it.
pub(super) async fn collect(
    front: &Front,
    mut body: Body,
    bytes_max: usize,
    limit: &str,
) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let mut seen = 0;
    loop {
        let frame = tokio::time::timeout(front.limits().publish_stall_max, body.frame());
        let frame = match frame.await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(Problem::bad_request(format!(
                    "the body ended early: {error}"
                )));
            }
            Err(_) => {
                return Err(Problem::timeout(format!(
                    "nothing of the body came for {} s (publish_stall_max)",
                    front.limits().publish_stall_max.as_secs()
                )));
            }
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen += data.len();
        if seen <= bytes_max {
            bytes.extend_from_slice(&data);
        } else if seen > bytes_max.saturating_add(DROPPED_BYTES_MAX) {
            break;
        }
    }
    if seen > bytes_max {
        return Err(too_large(bytes_max, limit));
    }
    Ok(bytes)
}

/// Checks a body that is here already.
pub(super) fn check(body: &[u8], bytes_max: usize, limit: &str) -> Result<(), Problem> {
    match body.len() > bytes_max {
        true => Err(too_large(bytes_max, limit)),
        false => Ok(()),
    }
}

fn too_large(bytes_max: usize, limit: &str) -> Problem {
    Problem::too_large(format!(
        "the body is larger than {bytes_max} bytes ({limit}); send several smaller events"
    ))
}
