//! Pushpin, Debian's package: four processes under a configuration of our own, and an origin that says what to hold.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::{Peer, apt, debian_version};
use crate::bench::fanout::server::{Endpoints, Need, Running, free_port};
use crate::process;

pub(super) const PEER: Peer = Peer {
    name: "pushpin",
    title: "Pushpin",
    install: || apt("/usr/bin/pushpin-handler", &["pushpin", "zurl"]),
    version: || debian_version("pushpin"),
    start,
    settings: "condure, proxy, handler and zurl on the server's core (their time counts together, the origin's does not), message rate limit lifted",
};

const INTERNAL: &str = "/usr/lib/pushpin/internal.conf";

fn start(need: &Need) -> Result<Running, String> {
    let mut running = Running::prepare("pushpin")?;
    let folder = running.folder().display().to_string();
    // The origin is asked once a subscriber, while connecting.
    let origin = process::root().join("bench/pushpin/origin.mjs");
    running.spawn(
        need.cores,
        Path::new("node"),
        &[&origin.display().to_string()],
    )?;
    let origin = running.listening()?;
    running.count_from_here();
    let origin = origin.trim_start_matches("http://").to_owned();

    let zurl = running.write("zurl.conf", &zurl(&folder))?;
    running.write("internal.conf", &internal(&folder)?)?;
    running.write("routes", &format!("* {origin}\n"))?;
    let (port, publish_port) = (free_port()?, free_port()?);
    let ports = [free_port()?, free_port()?, free_port()?];
    let configuration = configuration(&folder, port, publish_port, ports);
    let configuration = running.write("pushpin.conf", &configuration)?;

    let zurl = format!("--config={}", zurl.display());
    running.spawn(
        need.cores,
        Path::new("/usr/bin/zurl"),
        &[&zurl, "--loglevel=0"],
    )?;
    let configuration = format!("--config={}", configuration.display());
    running.spawn(
        need.cores,
        Path::new("/usr/bin/pushpin"),
        &[&configuration, "--loglevel=0"],
    )?;
    running.wait_for_port(port)?;
    running.wait_for_port(publish_port)?;
    running.wait_for_descendants(3)?;
    // Its parts find each other after its ports are open.
    sleep(Duration::from_secs(2));
    running.endpoints = Endpoints {
        subscribe_url: format!("http://127.0.0.1:{port}/{{topic}}"),
        publish_url: format!("http://127.0.0.1:{publish_port}/publish/"),
        publish_body: r#"{"items":[{"channel":"{topic}","formats":{"http-stream":{"content":"data: {data}\n\n"}}}]}"#
            .into(),
        publish_type: Some("application/json".into()),
        ..Endpoints::default()
    };
    Ok(running)
}

fn zurl(folder: &str) -> String {
    // The default denies loopback.
    format!(
        "[General]
in_spec=ipc://{folder}/zurl-in
in_stream_spec=ipc://{folder}/zurl-in-stream
out_spec=ipc://{folder}/zurl-out
in_req_spec=
defpolicy=allow
allow=
deny=
max_open_requests=2000
buffer_size=200000
timeout=600
in_hwm=1000
out_hwm=1000
"
    )
}

/// The package's own inner wiring, with our zurl in the place of the machine's.
fn internal(folder: &str) -> Result<String, String> {
    let text = fs::read_to_string(INTERNAL).map_err(|error| format!("{INTERNAL}: {error}"))?;
    Ok(text.replace("/var/run/zurl/", &format!("{folder}/")))
}

fn configuration(
    folder: &str,
    port: u16,
    publish_port: u16,
    [push, sub, command]: [u16; 3],
) -> String {
    format!(
        "[global]
include={folder}/internal.conf
rundir={folder}
ipc_prefix=p-
port_offset=0
stats_connection_ttl=120

[runner]
services=condure,pushpin-proxy,pushpin-handler
http_port=127.0.0.1:{port}
logdir={folder}
log_level=0
client_buffer_size=8192
client_maxconn=19900
condure_bin=condure

[proxy]
routesfile={folder}/routes
updates_check=off
sig_key=changeme

[handler]
push_in_spec=tcp://127.0.0.1:{push}
push_in_sub_specs=tcp://127.0.0.1:{sub}
push_in_sub_connect=false
push_in_http_addr=127.0.0.1
push_in_http_port={publish_port}
stats_spec=ipc://{folder}/p-stats
command_spec=tcp://127.0.0.1:{command}
message_rate=100000000
message_hwm=100000000
message_wait=5000
id_cache_ttl=60
connection_subscription_max=20
subscription_linger=60
stats_report_interval=10
stats_format=tnetstring
"
    )
}
