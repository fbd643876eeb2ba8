//! The service: clients are started, told and closed over HTTP, and POST what they see to their callback. Not here: the
//! command line.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tidewire_client::{CloseReason, EventSource, Item};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

const CAPABILITIES: [&str; 10] = [
    "bom",
    "comments",
    "headers",
    "last-event-id",
    "post",
    "read-timeout",
    "report",
    "restart",
    "server-directed-shutdown-request",
    "x-open-closed",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    stream_url: String,
    callback_url: String,
    initial_delay_ms: Option<u64>,
    read_timeout_ms: Option<u64>,
    last_event_id: Option<String>,
    headers: Option<HashMap<String, String>>,
    method: Option<String>,
    body: Option<String>,
    extended: Option<bool>,
}

#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
enum Command {
    Restart,
    /// Events of every type are reported anyway; only the form is checked.
    Listen {
        #[serde(rename = "listen")]
        _listen: Listen,
    },
    #[serde(skip)]
    Close,
}

#[derive(Deserialize)]
struct Listen {
    #[serde(rename = "type")]
    _event_type: String,
}

#[derive(Default)]
struct Service {
    clients: Mutex<HashMap<u64, mpsc::UnboundedSender<Command>>>,
    last: AtomicU64,
    quit: Notify,
}

/// Serves until `DELETE /`.
pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    let service = Arc::new(Service::default());
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            () = service.quit.notified() => break,
        };
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            let answer =
                hyper::service::service_fn(|request| answer(Arc::clone(&service), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), answer)
                .await;
        });
    }
    // The answer to the DELETE is still on its way.
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(())
}

type Answer = Response<Full<Bytes>>;

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

async fn answer(service: Arc<Service>, request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let id = head
        .uri
        .path()
        .strip_prefix("/clients/")
        .and_then(|id| id.parse::<u64>().ok());
    Ok(match (head.method, head.uri.path(), id) {
        (Method::GET, "/", _) => {
            let about = json!({ "name": "tidewire-client", "capabilities": CAPABILITIES });
            plain(StatusCode::OK, about.to_string())
        }
        (Method::DELETE, "/", _) => {
            service.quit.notify_one();
            plain(StatusCode::NO_CONTENT, "")
        }
        (Method::POST, "/", _) => start(&service, &body),
        (Method::POST, _, Some(id)) => command(&service, id, &body),
        (Method::DELETE, _, Some(id)) => {
            let client = service
                .clients
                .lock()
                .expect("no panic under the lock")
                .remove(&id);
            match client {
                Some(client) => {
                    let _ = client.send(Command::Close);
                    plain(StatusCode::NO_CONTENT, "")
                }
                None => plain(StatusCode::NOT_FOUND, "no such client"),
            }
        }
        _ => plain(StatusCode::NOT_FOUND, "no such resource"),
    })
}

fn start(service: &Service, body: &[u8]) -> Answer {
    let refused = |why: String| plain(StatusCode::BAD_REQUEST, why);
    let start: Start = match serde_json::from_slice(body) {
        Ok(start) => start,
        Err(error) => return refused(error.to_string()),
    };
    let callback = match Callback::new(&start.callback_url) {
        Ok(callback) => callback,
        Err(error) => return refused(error),
    };
    let extended = start.extended.unwrap_or(false);
    let source = match source(start) {
        Ok(source) => source,
        Err(error) => return refused(error),
    };
    let id = service.last.fetch_add(1, Ordering::Relaxed) + 1;
    let (commands_to, commands) = mpsc::unbounded_channel();
    service
        .clients
        .lock()
        .expect("no panic under the lock")
        .insert(id, commands_to);
    tokio::spawn(run(source, commands, callback, extended));
    let mut response = plain(StatusCode::CREATED, "");
    let location = format!("/clients/{id}")
        .try_into()
        .expect("a path is a header value");
    response.headers_mut().insert("location", location);
    response
}

fn source(start: Start) -> Result<EventSource, String> {
    let mut builder = EventSource::builder(&start.stream_url).options(|options| {
        options.comments = true;
        // Test suites measure.
        options.jitter = false;
        if let Some(ms) = start.initial_delay_ms {
            options.retry = Duration::from_millis(ms);
        }
        options.silence_max = start.read_timeout_ms.map(Duration::from_millis);
    });
    for (name, value) in start.headers.unwrap_or_default() {
        builder = builder.header(&name, &value);
    }
    if let Some(id) = start.last_event_id {
        builder = builder.last_event_id(&id);
    }
    if let Some(method) = start.method.filter(|method| !method.is_empty()) {
        builder = builder.method(
            method
                .parse()
                .map_err(|_| format!("{method:?} is no method"))?,
        );
    }
    if let Some(body) = start.body {
        builder = builder.body(body);
    }
    builder.build().map_err(|error| error.to_string())
}

fn command(service: &Service, id: u64, body: &[u8]) -> Answer {
    let clients = service.clients.lock().expect("no panic under the lock");
    let Some(client) = clients.get(&id) else {
        return plain(StatusCode::NOT_FOUND, "no such client");
    };
    match serde_json::from_slice(body) {
        Ok(command) => {
            // One that has stopped for good takes commands, and ignores them.
            let _ = client.send(command);
            plain(StatusCode::ACCEPTED, "")
        }
        Err(error) => plain(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

/// One client, until it stops for good.
async fn run(
    mut source: EventSource,
    mut commands: mpsc::UnboundedReceiver<Command>,
    mut callback: Callback,
    extended: bool,
) {
    loop {
        let item = tokio::select! {
            // What the program asks goes before what the stream says.
            biased;
            command = commands.recv() => {
                match command {
                    Some(Command::Restart) => source.restart(),
                    Some(Command::Listen { .. }) => {}
                    Some(Command::Close) | None => source.close(),
                }
                continue;
            }
            item = source.next() => item,
        };
        let Some(item) = item else { return };
        let closed = matches!(item, Item::Closed(_));
        for report in reports(item, extended) {
            callback.post(report).await;
        }
        if closed {
            return;
        }
    }
}

fn reports(item: Item, extended: bool) -> Vec<Value> {
    let error = |error: &dyn std::fmt::Display| json!({ "kind": "error", "error": error.to_string(), "comment": "" });
    match item {
        Item::Open(_) if extended => vec![json!({ "kind": "open" })],
        Item::Event(event) => vec![json!({
            "kind": "event",
            "event": { "type": event.event_type, "data": event.data, "id": event.last_event_id },
        })],
        Item::Comment(comment) => vec![json!({ "kind": "comment", "comment": comment })],
        Item::Reconnecting { error: cause, .. } => vec![error(&cause)],
        Item::Closed(reason) => {
            let mut reports = Vec::new();
            if let CloseReason::Failed(cause) = &reason {
                reports.push(error(cause));
            }
            if extended {
                reports.push(json!({ "kind": "closed" }));
            }
            reports
        }
        _ => Vec::new(),
    }
}

/// POSTs to `<callbackUrl>/1`, `/2`, ... one after another.
struct Callback {
    authority: String,
    path: String,
    posted: u64,
}

impl Callback {
    fn new(url: &str) -> Result<Self, String> {
        let uri: hyper::Uri = url
            .parse()
            .map_err(|error| format!("callbackUrl: {error}"))?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) => Ok(Self {
                authority: authority.to_string(),
                path: uri.path().trim_end_matches('/').to_owned(),
                posted: 0,
            }),
            _ => Err("callbackUrl is no http URL".to_owned()),
        }
    }

    /// A callback that is gone loses the report: its suite has moved on.
    async fn post(&mut self, report: Value) {
        self.posted += 1;
        let _ = self.try_post(report).await;
    }

    async fn try_post(
        &self,
        report: Value,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let address = match self.authority.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => self.authority.clone(),
            _ => format!("{}:80", self.authority),
        };
        let socket = TcpStream::connect(address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        let request = Request::post(format!("{}/{}", self.path, self.posted))
            .header("host", &self.authority)
            .header("content-type", "application/json")
            .header("connection", "close")
            .body(Full::new(Bytes::from(report.to_string())))?;
        tokio::spawn(connection);
        sender
            .send_request(request)
            .await?
            .into_body()
            .collect()
            .await?;
        Ok(())
    }
}
