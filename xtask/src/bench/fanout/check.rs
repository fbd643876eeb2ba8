//! Whether a server does what it is measured for: one subscriber, one publish, and the data must come.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::server::Running;

const DATA: &str = "hello-from-the-comparison";
const WAIT_MAX: Duration = Duration::from_secs(5);

/// `Err` says what was missing.
pub(crate) fn publish_reaches_subscriber(running: &Running) -> Result<(), String> {
    let endpoints = &running.endpoints;
    let fill = |template: &str| template.replace("{topic}", "t").replace("{data}", DATA);
    let mut subscriber = request("GET", &fill(&endpoints.subscribe_url), &[], "")?;
    wait_for(&mut subscriber, "200 OK")?;
    // Some hold the connection a moment after they have answered.
    sleep(Duration::from_millis(300));
    let mut headers = endpoints.publish_headers.clone();
    headers.extend(
        endpoints
            .publish_type
            .iter()
            .map(|value| format!("Content-Type: {value}")),
    );
    let body = fill(&endpoints.publish_body);
    let mut publisher = request("POST", &fill(&endpoints.publish_url), &headers, &body)?;
    wait_for(&mut publisher, "HTTP/1.1 20")?;
    wait_for(&mut subscriber, DATA)
}

fn request(method: &str, url: &str, headers: &[String], body: &str) -> Result<TcpStream, String> {
    let rest = url.trim_start_matches("http://");
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let fail = |error| format!("{method} {url}: {error}");
    let mut stream = TcpStream::connect(address).map_err(fail)?;
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .map_err(fail)?;
    let mut head = format!("{method} /{path} HTTP/1.1\r\nHost: {address}\r\n");
    for header in headers {
        head += &format!("{header}\r\n");
    }
    head += &match method {
        "POST" => format!("Content-Length: {}\r\n", body.len()),
        _ => "Accept: text/event-stream\r\n".to_owned(),
    };
    stream
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .map_err(fail)?;
    Ok(stream)
}

fn wait_for(stream: &mut TcpStream, wanted: &str) -> Result<(), String> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    let since = Instant::now();
    while since.elapsed() < WAIT_MAX {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
            // Nothing yet.
            Err(_) => continue,
        }
        if String::from_utf8_lossy(&read).contains(wanted) {
            return Ok(());
        }
    }
    let read = String::from_utf8_lossy(&read);
    Err(format!("waited for `{wanted}`, got `{read}`"))
}
