//! One epoll loop: accept, read requests, and for each publish one `send` a subscriber.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrV4, SocketFlags, SocketType, accept_with, bind,
    getsockname, listen, recv, send, socket_with, sockopt,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::FULL_SOCKET_MS_MAX;
use crate::request::{Parsed, parse};

/// What is left of a write's frames leaves after this time without a publish.
const IDLE_FLUSH: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n";
const WRONG: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What a file descriptor is. Small, because 19,000 of them are mostly subscribers.
enum Slot {
    Free,
    Asking(Box<Asking>),
    Subscribed { socket: OwnedFd, topic: u32 },
}

struct Asking {
    socket: OwnedFd,
    input: Vec<u8>,
}

#[derive(Default)]
struct Topic {
    subscribers: Vec<i32>,
    /// Frames that wait for the rest of their write.
    pending: Vec<u8>,
    pending_frames: usize,
}

struct Server {
    epoll: OwnedFd,
    /// By file descriptor.
    slots: Vec<Slot>,
    topic_ids: HashMap<Vec<u8>, u32, foldhash::fast::RandomState>,
    topics: Vec<Topic>,
    frames_per_write: usize,
    /// Topics that have pending frames; empty unless frames are held back.
    held: Vec<u32>,
    epoch: u128,
    position: u64,
    frame: Vec<u8>,
    answers: Vec<u8>,
}

pub(crate) fn run(port: u16, frames_per_write: usize) -> io::Result<Infallible> {
    let files = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: files.maximum,
            maximum: files.maximum,
        },
    )?;
    let listener = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    listen(&listener, 4096)?;
    let address = SocketAddrV4::try_from(getsockname(&listener)?)?;
    println!("listening http://{address}");
    io::stdout().flush()?;
    Server::new(frames_per_write)?.serve(&listener)
}

impl Server {
    fn new(frames_per_write: usize) -> io::Result<Self> {
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis());
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            slots: Vec::new(),
            topic_ids: HashMap::default(),
            topics: Vec::new(),
            frames_per_write,
            held: Vec::new(),
            epoch,
            position: 0,
            frame: Vec::new(),
            answers: Vec::new(),
        })
    }

    fn serve(mut self, listener: &OwnedFd) -> io::Result<Infallible> {
        let wake_by = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
        epoll::add(&self.epoll, listener, data(listener), wake_by)?;
        let mut events = Vec::with_capacity(1024);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            events.clear();
            let wait = (!self.held.is_empty()).then_some(&IDLE_FLUSH);
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                wait,
            ) {
                Ok(0) => self.flush_held(),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let fd = event.data.u64() as i32;
                if fd == listener.as_raw_fd() {
                    self.accept(listener)?;
                } else {
                    self.readable(fd, &mut buffer);
                }
            }
        }
    }

    fn accept(&mut self, listener: &OwnedFd) -> io::Result<()> {
        loop {
            let socket = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            sockopt::set_tcp_nodelay(&socket, true)?;
            let wake_by = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
            epoll::add(&self.epoll, &socket, data(&socket), wake_by)?;
            let fd = socket.as_raw_fd() as usize;
            if self.slots.len() <= fd {
                self.slots.resize_with(fd + 1, || Slot::Free);
            }
            self.slots[fd] = Slot::Asking(Box::new(Asking {
                socket,
                input: Vec::new(),
            }));
        }
    }

    fn readable(&mut self, fd: i32, buffer: &mut [u8]) {
        match std::mem::replace(&mut self.slots[fd as usize], Slot::Free) {
            Slot::Free => {}
            // A subscriber has nothing to say: this is its end, or noise to drop.
            Slot::Subscribed { socket, topic } => {
                match recv(&socket, &mut *buffer, RecvFlags::DONTWAIT) {
                    Ok((1.., _)) | Err(Errno::AGAIN | Errno::INTR) => {
                        self.slots[fd as usize] = Slot::Subscribed { socket, topic };
                    }
                    Ok(_) | Err(_) => self.forget(fd, topic),
                }
            }
            Slot::Asking(mut asking) => {
                match recv(&asking.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                    Ok((count @ 1.., _)) => {
                        asking.input.extend_from_slice(&buffer[..count]);
                        self.slots[fd as usize] = self.answer(asking);
                    }
                    Err(Errno::AGAIN | Errno::INTR) => {
                        self.slots[fd as usize] = Slot::Asking(asking);
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }

    /// Serves every whole request of the input, and says what the connection is afterwards.
    fn answer(&mut self, mut asking: Box<Asking>) -> Slot {
        self.answers.clear();
        let mut from = 0;
        let subscribed = loop {
            match parse(&asking.input[from..]) {
                Parsed::Partial => break None,
                Parsed::Get { path } => {
                    let topic = self.topic(path);
                    self.answers.extend_from_slice(HEAD);
                    break Some(topic);
                }
                Parsed::Post { path, body, length } => {
                    let topic = self.topic(path);
                    self.publish(topic, body);
                    from += length;
                }
                Parsed::Wrong => {
                    self.answers.extend_from_slice(WRONG);
                    send_all(&asking.socket, &self.answers);
                    return Slot::Free;
                }
            }
        };
        asking.input.drain(..from);
        if !self.answers.is_empty() && !send_all(&asking.socket, &self.answers) {
            return Slot::Free;
        }
        match subscribed {
            None => Slot::Asking(asking),
            Some(topic) => {
                let socket = asking.socket;
                self.topics[topic as usize]
                    .subscribers
                    .push(socket.as_raw_fd());
                Slot::Subscribed { socket, topic }
            }
        }
    }

    fn topic(&mut self, path: &[u8]) -> u32 {
        if let Some(topic) = self.topic_ids.get(path) {
            return *topic;
        }
        let topic = self.topics.len() as u32;
        self.topics.push(Topic::default());
        self.topic_ids.insert(path.to_owned(), topic);
        topic
    }

    fn publish(&mut self, topic: u32, data: &[u8]) {
        self.position += 1;
        let mut frame = std::mem::take(&mut self.frame);
        write_frame(&mut frame, self.epoch, self.position, data);
        if self.frames_per_write == 1 {
            self.send_to_all(topic, &frame);
        } else {
            self.hold(topic, &frame);
        }
        self.frame = frame;
        let answer = Answer {
            epoch: self.epoch,
            position: self.position,
        };
        answer.write(&mut self.answers);
    }

    fn hold(&mut self, topic: u32, frame: &[u8]) {
        let held = &mut self.topics[topic as usize];
        if held.pending_frames == 0 {
            self.held.push(topic);
        }
        held.pending.extend_from_slice(frame);
        held.pending_frames += 1;
        if held.pending_frames >= self.frames_per_write {
            self.held.retain(|other| *other != topic);
            self.flush(topic);
        }
    }

    fn flush_held(&mut self) {
        for topic in std::mem::take(&mut self.held) {
            self.flush(topic);
        }
    }

    fn flush(&mut self, topic: u32) {
        let held = &mut self.topics[topic as usize];
        held.pending_frames = 0;
        let mut frames = std::mem::take(&mut held.pending);
        self.send_to_all(topic, &frames);
        frames.clear();
        self.topics[topic as usize].pending = frames;
    }

    fn send_to_all(&mut self, topic: u32, bytes: &[u8]) {
        let mut index = 0;
        while let Some(&fd) = self.topics[topic as usize].subscribers.get(index) {
            let sent = match &self.slots[fd as usize] {
                Slot::Subscribed { socket, .. } => send_all(socket, bytes),
                _ => false,
            };
            if sent {
                index += 1;
            } else {
                eprintln!("bench-floor: cut a subscriber that did not read");
                self.topics[topic as usize].subscribers.swap_remove(index);
                self.slots[fd as usize] = Slot::Free;
            }
        }
    }

    fn forget(&mut self, fd: i32, topic: u32) {
        let subscribers = &mut self.topics[topic as usize].subscribers;
        if let Some(index) = subscribers.iter().position(|other| *other == fd) {
            subscribers.swap_remove(index);
        }
    }
}

/// The answer to one publish: the event's id, as our hub says it.
struct Answer {
    epoch: u128,
    position: u64,
}

impl Answer {
    fn write(&self, out: &mut Vec<u8>) {
        let id = format!("#{}-{}", self.epoch, self.position);
        let length = id.len();
        // Writing into memory does not fail.
        let _ = write!(
            out,
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{id}"
        );
    }
}

/// The bytes our hub sends for such an event: one chunk (RFC 9112, section 7.1), `id`, a `data` line for each line, a blank
/// line.
fn write_frame(frame: &mut Vec<u8>, epoch: u128, position: u64, data: &[u8]) {
    /// As many digits as there can be: a smaller size leaves some of them unused.
    const HEAD: &[u8] = b"0000000000000000\r\n";
    frame.clear();
    frame.extend_from_slice(HEAD);
    let _ = writeln!(frame, "id: #{epoch}-{position}");
    for line in data.split(|byte| *byte == b'\n') {
        frame.extend_from_slice(b"data: ");
        frame.extend_from_slice(line);
        frame.push(b'\n');
    }
    frame.push(b'\n');
    let size = format!("{:x}", frame.len() - HEAD.len());
    let unused = HEAD.len() - 2 - size.len();
    frame[unused..unused + size.len()].copy_from_slice(size.as_bytes());
    frame.drain(..unused);
    frame.extend_from_slice(b"\r\n");
}

/// One `send`, and where the socket is full, waiting and the rest. False if the peer is gone or too slow.
fn send_all(socket: &OwnedFd, mut bytes: &[u8]) -> bool {
    loop {
        match send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) if count == bytes.len() => return true,
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                if !wait_writable(socket) {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
}

fn wait_writable(socket: &OwnedFd) -> bool {
    let wait = Timespec {
        tv_sec: FULL_SOCKET_MS_MAX / 1000,
        tv_nsec: FULL_SOCKET_MS_MAX % 1000 * 1_000_000,
    };
    let mut wanted = [PollFd::new(socket, PollFlags::OUT)];
    matches!(poll(&mut wanted, Some(&wait)), Ok(1..))
}

fn data(socket: &OwnedFd) -> epoll::EventData {
    epoll::EventData::new_u64(socket.as_raw_fd() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_one_chunk_of_our_hubs_bytes() {
        let mut frame = b"what was before".to_vec();
        write_frame(&mut frame, 12, 3, b"one\ntwo");
        let expected = "1f\r\nid: #12-3\ndata: one\ndata: two\n\n\r\n";
        assert_eq!(String::from_utf8_lossy(&frame), expected);
    }
}
