//! `tidewire serve`: the hub, wired from its settings. What is answered is `tidewire-hub`'s.

mod access;
mod admin;
mod descriptors;
mod listen;
mod metadata;
mod ready;
mod store;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tidewire_hub::{
    AccessLog, AccessLogFormat, Hub, HubStore, Limits, Log, Origins, ShardConfig, Tls, serve_admin,
};
use tokio::net::TcpListener;

use crate::failure::{Failure, Outcome};
use crate::settings::{self, AccessLogging, Settings, Sources, Trust};
use crate::{output, signals};
use descriptors::Needs;

/// How long the end waits for the access log to be written; whoever reads it may have stopped.
const ACCESS_LOG_FLUSH_MAX: Duration = Duration::from_millis(500);

/// Run the hub
///
/// Prints one line for each listener to standard output when it is ready, such as `listening http://127.0.0.1:8080`.
/// SIGTERM and SIGINT end it in order, a second one at once.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tidewire serve\n  tidewire serve --memory --listen 127.0.0.1:0\n  tidewire serve --tls-self-signed\n  tidewire serve --listen 0.0.0.0:8080 --publisher-key-file tidewire.key --subscriber-key-file tidewire.key\n  tidewire serve --config tidewire.toml"
)]
pub(crate) struct Serve {
    #[command(flatten)]
    settings: Settings,
}

impl Serve {
    pub(crate) fn run(self, sources: &Sources) -> Outcome {
        start_logging();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("cannot start threads: {error}")))?;
        let outcome = runtime.block_on(serve(&self.settings, sources));
        runtime.shutdown_timeout(Duration::from_millis(100));
        outcome
    }
}

/// Diagnostics go to standard error; `TIDEWIRE_LOG` says how many (`info`, `tidewire_http=debug`).
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TIDEWIRE_LOG");
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "warn".into()))
        .with_writer(std::io::stderr)
        .with_ansi(output::is_watched())
        .try_init();
}

/// Whether a hub would start with these settings, as far as they say.
pub(super) fn check(settings: &Settings, sources: &Sources, trust: &Trust) -> Outcome {
    access::decide(settings, trust)?;
    admin::decide(settings)?;
    store::in_memory(settings, sources)?;
    Ok(())
}

async fn serve(settings: &Settings, sources: &Sources) -> Outcome {
    let trust = settings::load_trust(settings, sources)?;
    let access = access::decide(settings, &trust)?;
    let certificate = settings::load_tls(settings, sources)?;
    let descriptors = descriptors::raise(Needs {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        has_disk_log: !store::in_memory(settings, sources)?,
    });
    // Listening comes first: a hub that cannot be reached has no business with the log.
    let listeners = listen::bind(&settings.listen).await?;
    let admin = admin::bind(settings).await?;
    let access_log = access_log(settings)?;
    let stop = stopped()?;
    let store = store::open(settings, sources, descriptors.log_files_max)?;
    let metadata = metadata::open(store.dir())?;
    let listening = addresses(&listeners)?;
    let secured = tls::secure(certificate, settings, &listening, store.dir())?;
    let hub = build(
        settings,
        access.access.clone(),
        trust,
        descriptors.subscribers_max,
        secured.as_ref().map(|secured| secured.tls.clone()),
        access_log.clone(),
        Stores {
            log: store.log(),
            metadata,
        },
    )?;
    ready::say(settings, &access, &descriptors, secured.as_ref(), &store);
    if let Some(admin) = &admin {
        ready::say_admin(&admin.listener)?;
    }
    ready::announce(&listening, secured.is_some());
    // Beside the hub, and for as long: it also says that the hub is ending.
    let serving = admin.map(|admin| {
        tokio::spawn(serve_admin(
            hub.front().clone(),
            admin.access,
            admin.listener,
        ))
    });
    hub.serve(listeners, stop).await;
    if let Some(serving) = serving {
        serving.abort();
        let _ = serving.await;
    }
    if let Some(log) = access_log {
        let _ = tokio::task::spawn_blocking(move || log.flush(ACCESS_LOG_FLUSH_MAX)).await;
    }
    drop(hub);
    store.close()
}

/// Where the hub keeps what it must not forget.
struct Stores {
    log: Arc<dyn Log>,
    metadata: Arc<dyn HubStore>,
}

fn build(
    settings: &Settings,
    access: tidewire_hub::Access,
    trust: Trust,
    subscribers_max: usize,
    tls: Option<Tls>,
    access_log: Option<AccessLog>,
    stores: Stores,
) -> Outcome<Hub> {
    let limits = limits(settings, subscribers_max)?;
    let streams = ShardConfig {
        heartbeat_ms: settings.heartbeat.ms,
        stream_life_ms: settings.stream_life.ms,
        stall_deadline_ms: settings.stall_deadline.ms,
        ..ShardConfig::default()
    };
    let mut builder = Hub::builder(stores.log).store(stores.metadata);
    if let Some(tls) = tls {
        builder = builder.tls(tls);
    }
    if let Some(access_log) = access_log {
        builder = builder.access_log(access_log);
    }
    if let Some(url) = &settings.hub_url {
        builder = builder.hub_url(url);
    }
    if let Some(hook) = trust.hook {
        builder = builder.auth_hook(hook);
    }
    builder
        .hub_path(&settings.hub_path)
        .access(access)
        .fetched_keys(trust.fetched)
        .fetch(trust.fetch)
        .limits(limits)
        .streams(streams)
        .subscriptions(settings.subscriptions.0)
        .refuse_softly(settings.refuse_softly.0)
        .trusted_proxies(settings.clients.proxies()?)
        .debug_refusals(settings.clients.debug_refusals.0)
        .drain(settings.drain.duration())
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))
}

/// Results go to standard output, everything else to standard error: so does this.
fn access_log(settings: &Settings) -> Outcome<Option<AccessLog>> {
    let format = match settings.access_log {
        AccessLogging::Off => return Ok(None),
        AccessLogging::Combined => AccessLogFormat::Combined,
        AccessLogging::Json => AccessLogFormat::Json,
    };
    AccessLog::start(format, std::io::stderr())
        .map(Some)
        .map_err(|error| Failure::failed(format!("cannot start threads: {error}")))
}

fn limits(settings: &Settings, subscribers_max: usize) -> Outcome<Limits> {
    let mut limits = Limits::default();
    limits.event_bytes_max = usize::try_from(settings.event_bytes_max.0).map_err(Failure::usage)?;
    // An array is one request held in memory: never less than an event, which it must have room for.
    limits.array_bytes_max = limits
        .array_bytes_max
        .max(limits.event_bytes_max.saturating_mul(2));
    limits.topics_per_event_max = settings.topics_per_event_max;
    limits.filters_per_stream_max = settings.filters_per_stream_max;
    limits.subscribers_max = subscribers_max;
    limits.signed_url_life_max = settings.signed_url_life_max.duration();
    settings.clients.limit(&mut limits);
    Ok(limits)
}

/// Resolves at the first signal; the second one ends the process at once.
fn stopped() -> Outcome<impl Future<Output = ()>> {
    let first = signals::interrupted()?;
    Ok(async {
        first.await;
        tokio::spawn(async {
            if let Ok(second) = signals::interrupted() {
                second.await;
                std::process::exit(1);
            }
        });
    })
}

/// The settings' origins, which their parser has checked.
fn origins(texts: &[String]) -> Outcome<Origins> {
    Origins::parse(texts.iter().map(String::as_str)).map_err(Failure::usage)
}

/// The addresses that were got, ports and all.
fn addresses(listeners: &[TcpListener]) -> Outcome<Vec<std::net::SocketAddr>> {
    listeners
        .iter()
        .map(|listener| listener.local_addr())
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::failed(format!("cannot tell an address: {error}")))
}
