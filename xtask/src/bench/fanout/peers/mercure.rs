//! Mercure's hub, built from the Go proxy (`bench/mercure`), under a Caddyfile of its own.

use super::{Peer, store};
use crate::bench::fanout::server::{Endpoints, Need, Running, free_port};
use crate::install;

pub(super) const LOCAL: Peer = Peer {
    name: "mercure",
    title: "Mercure, local",
    install,
    version: || "0.24.2".into(),
    start: |need| start(need, "local"),
    settings: "heartbeat and write timeout off, admin off, log level ERROR, transport `local`",
};

pub(super) const BOLT: Peer = Peer {
    name: "mercure-bolt",
    title: "Mercure, bolt",
    install,
    version: || "0.24.2".into(),
    start: |need| start(need, "bolt"),
    settings: "the same with transport `bolt`",
};

const KEY: &str = "a-key-for-nothing-but-the-benchmark-on-loopback";
/// Signed with it (HS256): may publish anything, for ever.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJtZXJjdXJlIjp7InB1Ymxpc2giOlsiKiJdfX0.fiGU5OWg7CMT2mApjPxIkCZrdCEsMzBpNVTtfRW_WHo";

fn install() -> Result<(), String> {
    install::mercure().map(drop)
}

fn start(need: &Need, transport: &str) -> Result<Running, String> {
    let mut running = Running::prepare("mercure")?;
    let port = free_port()?;
    let transport = match transport {
        "bolt" => format!(
            "transport bolt {{\n\t\t\tpath {}/mercure.db\n\t\t}}",
            running.folder().display()
        ),
        other => format!("transport {other}"),
    };
    let caddyfile = running.write("Caddyfile", &caddyfile(port, &transport))?;
    let caddyfile = caddyfile.display().to_string();
    let arguments = ["run", "--adapter", "caddyfile", "--config", &caddyfile];
    running.spawn(need.cores, &store().join("mercure"), &arguments)?;
    running.wait_for_port(port)?;
    let hub = format!("http://127.0.0.1:{port}/.well-known/mercure");
    running.endpoints = Endpoints {
        subscribe_url: format!("{hub}?topic={{topic}}"),
        publish_url: hub,
        publish_body: "topic={topic}&data={data}".into(),
        publish_type: Some("application/x-www-form-urlencoded".into()),
        publish_headers: vec![format!("Authorization: Bearer {TOKEN}")],
    };
    Ok(running)
}

fn caddyfile(port: u16, transport: &str) -> String {
    format!(
        "{{
	admin off
	auto_https off
	persist_config off
	grace_period 1s
	log {{
		level ERROR
	}}
}}
http://127.0.0.1:{port} {{
	mercure {{
		{transport}
		publisher_jwt {KEY} HS256
		anonymous
		heartbeat 0
		write_timeout 0s
	}}
}}
"
    )
}
