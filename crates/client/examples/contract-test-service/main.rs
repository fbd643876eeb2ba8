//! The client behind a small HTTP server, for outside test suites that drive a client and watch what it reports.
//!
//! `contract-test-service --port 8000`, then `POST /` with a `streamUrl` and a `callbackUrl`. Port 0 takes any; the line on
//! stdout says which. `DELETE /` ends it.

mod service;

use std::io::{self, Write};
use std::process::ExitCode;

const USAGE: &str = "usage: contract-test-service [--port N]   (default 8000)";

fn port() -> Result<u16, String> {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next(), args.next()) {
        (None, ..) => Ok(8000),
        (Some("--port"), Some(port), None) => port
            .parse()
            .map_err(|_| format!("{port} is no port\n{USAGE}")),
        _ => Err(USAGE.to_owned()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let port = match port() {
        Ok(port) => port,
        Err(usage) => {
            let _ = writeln!(io::stderr(), "{usage}");
            return ExitCode::from(2);
        }
    };
    let served = async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        writeln!(io::stdout(), "listening http://{}", listener.local_addr()?)?;
        service::serve(listener).await
    };
    match served.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "contract-test-service: port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}
