//! A connection with or without TLS: bytes out, bytes in, never waiting.

use std::fmt::Display;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use serde::{Deserialize, Serialize};
use tidewire_client::connect::{self, Http};
use tidewire_client::tls_config;

use super::socket::{self, Moved};
use super::target::Place;

/// Whose certificates are taken.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Trust {
    /// File with certificates (PEM) of those who may sign a server's.
    pub(super) ca: Option<PathBuf>,
    /// Anybody's.
    pub(super) is_insecure: bool,
}

/// How to speak TLS: shared by all connections.
#[derive(Clone, Debug)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// For HTTP/2 or HTTP/1.1, as ALPN tells the server.
    pub(super) fn new(trust: &Trust, is_http2: bool) -> Result<Self, String> {
        let mut whom = connect::Tls::default();
        let wrong = |why: &dyn Display| match &trust.ca {
            Some(path) if !trust.is_insecure => format!("--ca {}: {why}", path.display()),
            _ => why.to_string(),
        };
        match (&trust.ca, trust.is_insecure) {
            (_, true) => whom.danger_accept_any_certificate = true,
            (Some(path), false) => {
                whom.mozilla_roots = false;
                whom.authorities = std::fs::read(path).map_err(|why| wrong(&why))?;
            }
            (None, false) => return Err("https needs --ca FILE or --insecure".to_owned()),
        }
        let http = if is_http2 { Http::Http2 } else { Http::Http1 };
        let config = tls_config(&whom, http).map_err(|why| wrong(&why))?;
        Ok(Self(config))
    }
}

const CLOSED: &str = "the server closed a connection";

/// One connection.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) socket: OwnedFd,
    tls: Option<Box<ClientConnection>>,
    /// Without TLS: what is not written yet.
    out: Vec<u8>,
}

impl Transport {
    pub(super) fn new(socket: OwnedFd, place: &Place, tls: Option<&Tls>) -> Result<Self, String> {
        let session = match tls {
            Some(tls) if place.is_tls => Some(Box::new(session(tls, place)?)),
            _ => None,
        };
        Ok(Self {
            socket,
            tls: session,
            out: Vec::new(),
        })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Speaks until the other side is known. The socket must block for as long.
    pub(super) fn shake_hands(&mut self) -> Result<(), String> {
        let Some(session) = &mut self.tls else {
            return Ok(());
        };
        while session.is_handshaking() {
            session
                .complete_io(&mut Wire(&self.socket))
                .map_err(|why| format!("TLS: {why}"))?;
        }
        Ok(())
    }

    /// Takes bytes to be written, and writes what the socket takes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        match &mut self.tls {
            Some(session) => session
                .writer()
                .write_all(bytes)
                .map_err(|why| why.to_string())?,
            None if self.out.is_empty() => return self.send_plain(bytes),
            None => self.out.extend_from_slice(bytes),
        }
        self.flush()
    }

    /// Nothing waits before these bytes: only what the socket does not take is copied.
    fn send_plain(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            match socket::send(&self.socket, bytes) {
                Moved::Bytes(written) => bytes = &bytes[written..],
                Moved::Blocked => break,
                Moved::Closed => return Err(CLOSED.to_owned()),
            }
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        let mut wire = Wire(&self.socket);
        if let Some(session) = &mut self.tls {
            while session.wants_write() {
                match session.write_tls(&mut wire) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error.to_string()),
                }
            }
            return Ok(());
        }
        let mut written = 0;
        while written < self.out.len() {
            match socket::send(&self.socket, &self.out[written..]) {
                Moved::Bytes(bytes) => written += bytes,
                Moved::Blocked => break,
                Moved::Closed => return Err(CLOSED.to_owned()),
            }
        }
        if written == self.out.len() {
            // Most connections write once: their buffers should not stay.
            self.out = Vec::new();
        } else {
            self.out.drain(..written);
        }
        Ok(())
    }

    /// Whether something waits to be written.
    pub(super) fn wants_write(&self) -> bool {
        !self.out.is_empty()
            || self
                .tls
                .as_ref()
                .is_some_and(|session| session.wants_write())
    }

    /// Reads once. With TLS there may be more to read although the socket has nothing: call until it is blocked.
    #[inline]
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Result<Moved, String> {
        match &mut self.tls {
            None => Ok(socket::receive(&self.socket, buffer)),
            Some(session) => receive_tls(session, &self.socket, buffer),
        }
    }
}

fn session(tls: &Tls, place: &Place) -> Result<ClientConnection, String> {
    let authority = place.authority.as_str();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name = ServerName::try_from(host).map_err(|why| why.to_string())?;
    let mut session =
        ClientConnection::new(Arc::clone(&tls.0), name).map_err(|why| why.to_string())?;
    // A request with a thousand streams is larger than the default.
    session.set_buffer_limit(None);
    Ok(session)
}

fn receive_tls(
    session: &mut ClientConnection,
    socket: &OwnedFd,
    buffer: &mut [u8],
) -> Result<Moved, String> {
    let mut wire = Wire(socket);
    loop {
        match session.reader().read(buffer) {
            Ok(0) => return Ok(Moved::Closed),
            Ok(bytes) => return Ok(Moved::Bytes(bytes)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Ok(Moved::Closed),
        }
        match session.read_tls(&mut wire) {
            Ok(0) => return Ok(Moved::Closed),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Moved::Blocked),
            Err(_) => return Ok(Moved::Closed),
        }
        session
            .process_new_packets()
            .map_err(|why| format!("TLS: {why}"))?;
    }
}

/// The socket as rustls wants it.
struct Wire<'a>(&'a OwnedFd);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match socket::receive(self.0, buffer) {
            Moved::Bytes(bytes) => Ok(bytes),
            Moved::Blocked => Err(ErrorKind::WouldBlock.into()),
            Moved::Closed => Ok(0),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match socket::send(self.0, bytes) {
            Moved::Bytes(bytes) => Ok(bytes),
            Moved::Blocked => Err(ErrorKind::WouldBlock.into()),
            Moved::Closed => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
