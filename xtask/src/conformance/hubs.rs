//! Hubs that the suite starts itself, one for each profile: ours, and Mercure's of `bench/mercure`. Dropped, they end.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::run::{Cookies, Target};
use super::suite::Profile;
use super::token::{Ring, SigningKey};
use super::wire::Address;

const HUB_PATH: &str = "/.well-known/mercure";
const ISSUER: &str = "https://issuer.conformance.example";
const AUDIENCE: &str = "https://hub.conformance.example/.well-known/mercure";
const START_MAX: Duration = Duration::from_secs(30);
const END_MAX: Duration = Duration::from_secs(5);

/// A hub's process, its folder, and how to try it.
pub(super) struct Hub {
    child: Child,
    _folder: tempfile::TempDir,
    pub(super) target: Target,
}

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ours,
    Mercure,
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + END_MAX;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a hub in a profile. `Ok(Err(why))` where this kind has no such profile.
pub(super) fn start(
    kind: Kind,
    binary: &Path,
    profile: &Profile,
) -> Result<Result<Hub, String>, String> {
    if kind == Kind::Mercure
        && let Some(why) = missing_in_mercure(profile)
    {
        return Ok(Err(why.into()));
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let ring = ring(profile)?;
    let (child, authority) = match kind {
        Kind::Ours => ours(binary, folder.path(), profile, &ring)?,
        Kind::Mercure => mercure(binary, folder.path(), profile, &ring)?,
    };
    let has: &[&str] = match kind {
        Kind::Ours => &[
            "history", "two-keys", "ES256", "EdDSA", "RS256", "PS256", "ES384", "ES512", "HS256",
        ],
        Kind::Mercure => &["history", "two-keys", "HS256"],
    };
    let target = Target {
        address: Address {
            connect: authority.clone(),
            authority,
            tls: None,
        },
        hub_path: HUB_PATH.into(),
        ring,
        issuer: ISSUER.into(),
        audience: AUDIENCE.into(),
        cookies: Cookies::default(),
        has: has
            .iter()
            .map(|name| (*name).to_owned())
            .chain(Profile::lacks([profile]))
            .collect(),
    };
    Ok(Ok(Hub {
        child,
        _folder: folder,
        target,
    }))
}

fn ring(profile: &Profile) -> Result<Ring, String> {
    let role = || {
        profile
            .keys
            .as_deref()
            .map(|alg| SigningKey::generate(alg, None))
            .transpose()
    };
    let issuer = match profile.issuer {
        false => Vec::new(),
        true => ["ES256", "EdDSA", "RS256", "PS256", "ES384", "ES512"]
            .map(|alg| SigningKey::generate(alg, Some(&format!("key-{alg}"))))
            .into_iter()
            .collect::<Result<_, _>>()?,
    };
    Ok(Ring {
        publisher: role()?,
        subscriber: role()?,
        issuer,
    })
}

fn write(path: &Path, text: &str) -> Result<PathBuf, String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.to_path_buf())
}

fn ours(
    binary: &Path,
    folder: &Path,
    profile: &Profile,
    ring: &Ring,
) -> Result<(Child, String), String> {
    let mut command = Command::new(binary);
    command.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--memory",
        "--drain",
        "500ms",
    ]);
    let anonymous = if profile.anonymous {
        "subscribe"
    } else {
        "none"
    };
    command.args(["--anonymous", anonymous]);
    for (role, key) in [
        ("publisher", &ring.publisher),
        ("subscriber", &ring.subscriber),
    ] {
        if let Some(key) = key {
            let file = write(&folder.join(role), &key.verifier()?)?;
            command.arg(format!("--{role}-key-file")).arg(file);
            command.args([&format!("--{role}-key-alg"), &key.alg]);
        }
    }
    for (flag, origins) in [
        ("--cors-origins", &profile.cors_origins),
        ("--publish-origins", &profile.publish_origins),
    ] {
        if !origins.is_empty() {
            command.args([flag, &origins.join(",")]);
        }
    }
    let seconds = [
        ("--heartbeat", profile.heartbeat_s),
        ("--stream-life", profile.life_s),
    ];
    for (flag, seconds) in seconds {
        if let Some(seconds) = seconds {
            command.args([flag, &format!("{seconds}s")]);
        }
    }
    let file = write(
        &folder.join("tidewire.toml"),
        &our_settings(folder, profile, ring)?,
    )?;
    command.arg("--config").arg(file);
    let errors = fs::File::create(folder.join("stderr")).map_err(|error| error.to_string())?;
    command.current_dir(folder).env_clear();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors);
    let mut child = command
        .spawn()
        .map_err(|error| format!("{}: {error}", binary.display()))?;
    match listening(&mut child) {
        Some(authority) => Ok((child, authority)),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            let said = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
            Err(format!("the hub does not start: {said}"))
        }
    }
}

/// What only the file says: issuers, and what belongs to them.
fn our_settings(folder: &Path, profile: &Profile, ring: &Ring) -> Result<String, String> {
    let mut settings = toml::Table::new();
    if profile.presence {
        settings.insert("subscriptions".into(), true.into());
    }
    if profile.issuer {
        let keys: Vec<_> = ring.issuer.iter().map(SigningKey::jwk).collect();
        let set = json!({ "keys": keys }).to_string();
        let file = write(&folder.join("jwks.json"), &set)?;
        let mut issuer = toml::Table::new();
        issuer.insert("name".into(), ISSUER.into());
        let url = format!("file://{}", file.display());
        issuer.insert("jwks-url".into(), url.into());
        settings.insert("hub-url".into(), AUDIENCE.into());
        settings.insert("issuers".into(), vec![toml::Value::Table(issuer)].into());
    }
    toml::to_string(&settings).map_err(|error| error.to_string())
}

/// The address of the line that a hub prints when it is ready.
fn listening(child: &mut Child) -> Option<String> {
    let stdout = child.stdout.take()?;
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        // Read to the end: a hub that prints into a closed pipe would be ended by it.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    let deadline = Instant::now() + START_MAX;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = receive.recv_timeout(left).ok()?;
        if let Some(authority) = line.strip_prefix("listening http://") {
            return Some(authority.trim_end_matches('/').to_owned());
        }
    }
}

fn missing_in_mercure(profile: &Profile) -> Option<&'static str> {
    if profile.issuer {
        return Some("Mercure 0.24.2 has no issuers: it speaks the legacy dialect alone");
    }
    if profile.keys.as_deref() == Some("PS256") {
        return Some("Mercure 0.24.2 has no PS256 for its keys");
    }
    None
}

fn mercure(
    binary: &Path,
    folder: &Path,
    profile: &Profile,
    ring: &Ring,
) -> Result<(Child, String), String> {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(|error| error.to_string())?
        .port();
    let text = caddyfile(port, folder, profile, ring)?;
    let caddyfile = write(&folder.join("Caddyfile"), &text)?;
    let errors = fs::File::create(folder.join("stderr")).map_err(|error| error.to_string())?;
    let mut command = Command::new(binary);
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(caddyfile);
    command
        .current_dir(folder)
        .env("HOME", folder)
        .env("XDG_DATA_HOME", folder);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors);
    let mut child = command
        .spawn()
        .map_err(|error| format!("{}: {error}", binary.display()))?;
    let authority = format!("127.0.0.1:{port}");
    let deadline = Instant::now() + START_MAX;
    while Instant::now() < deadline {
        if TcpStream::connect(&authority).is_ok() {
            return Ok((child, authority));
        }
        if !matches!(child.try_wait(), Ok(None)) {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
    let said = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
    Err(format!("Mercure does not start: {said}"))
}

fn caddyfile(port: u16, folder: &Path, profile: &Profile, ring: &Ring) -> Result<String, String> {
    let mut lines = vec![format!(
        "transport bolt {{\n\t\t\tpath {}/mercure.db\n\t\t}}",
        folder.display()
    )];
    for (role, key) in [
        ("publisher", &ring.publisher),
        ("subscriber", &ring.subscriber),
    ] {
        if let Some(key) = key {
            // Caddy's own quotes, which may hold line ends.
            lines.push(format!("{role}_jwt `{}` {}", key.verifier()?, key.alg));
        }
    }
    if profile.anonymous {
        lines.push("anonymous".into());
    }
    if profile.presence {
        lines.push("subscriptions".into());
    }
    for (name, origins) in [
        ("cors_origins", &profile.cors_origins),
        ("publish_origins", &profile.publish_origins),
    ] {
        if !origins.is_empty() {
            lines.push(format!("{name} {}", origins.join(" ")));
        }
    }
    if let Some(seconds) = profile.heartbeat_s {
        lines.push(format!("heartbeat {seconds}s"));
    }
    if let Some(seconds) = profile.life_s {
        lines.push(format!(
            "write_timeout {seconds}s\n\t\tdispatch_timeout 100ms"
        ));
    }
    Ok(format!(
        "{{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n\tgrace_period 1s\n\tlog {{\n\t\tlevel ERROR\n\t}}\n}}\n\
         http://127.0.0.1:{port} {{\n\tmercure {{\n\t\t{}\n\t}}\n}}\n",
        lines.join("\n\t\t")
    ))
}
