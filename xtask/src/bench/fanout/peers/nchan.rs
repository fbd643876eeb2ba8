//! Nchan, Debian's module for nginx, under a configuration of its own.

use std::path::Path;

use super::{Peer, apt, debian_version};
use crate::bench::fanout::server::{Endpoints, Need, Running, free_port};

pub(super) const PEER: Peer = Peer {
    name: "nchan",
    title: "Nchan",
    install: || apt(MODULE, &["nginx", "libnginx-mod-nchan"]),
    version: || debian_version("libnginx-mod-nchan"),
    start,
    settings: "nginx with one worker, no access log, `eventsource` subscribers only, a message buffer as long as the case needs, 1 GiB of shared memory",
};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

fn start(need: &Need) -> Result<Running, String> {
    let mut running = Running::prepare("nchan")?;
    let port = free_port()?;
    let configuration = configuration(running.folder(), port, need);
    let configuration = running.write("nginx.conf", &configuration)?;
    let prefix = running.folder().display().to_string();
    let configuration = configuration.display().to_string();
    let arguments = ["-p", &prefix, "-c", &configuration, "-e", "stderr"];
    running.spawn(need.cores, Path::new("/usr/sbin/nginx"), &arguments)?;
    running.wait_for_port(port)?;
    running.wait_for_descendants(1)?;
    let base = format!("http://127.0.0.1:{port}");
    running.endpoints = Endpoints {
        subscribe_url: format!("{base}/sub/{{topic}}"),
        publish_url: format!("{base}/pub/{{topic}}"),
        publish_body: "{data}".into(),
        ..Endpoints::default()
    };
    Ok(running)
}

fn configuration(folder: &Path, port: u16, need: &Need) -> String {
    let folder = folder.display();
    let workers = match need.cores {
        super::super::server::Cores::One => 1,
        super::super::server::Cores::Two => 2,
    };
    // Without it root's nginx would serve as `nobody`, who may not write into the folder.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let buffer = need.history_events.max(10);
    format!(
        "load_module {MODULE};
daemon off;
{user}
pid {folder}/nginx.pid;
error_log stderr error;
worker_processes {workers};
worker_rlimit_nofile 20000;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    nchan_shared_memory_size 1024M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ ^/pub/(.+)$ {{
            nchan_publisher;
            nchan_channel_id $1;
            nchan_message_buffer_length {buffer};
            nchan_message_timeout 1h;
        }}
        location ~ ^/sub/(.+)$ {{
            nchan_subscriber eventsource;
            nchan_channel_id $1;
            nchan_subscriber_first_message newest;
        }}
    }}
}}
"
    )
}
