//! The application's own sessions: a cookie with a number that nobody guesses, and whose it is. In a file, for a page that comes back
//! after a restart must not be told to go away: EventSource would give up.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use tidewire_hub::random_seed;

const NAME: &str = "session";

/// Somebody who has logged in.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) user: String,
}

/// Everybody who has.
pub(crate) struct Sessions {
    path: PathBuf,
    users: Mutex<HashMap<String, String>>,
}

/// Whether somebody may be called so.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

impl Sessions {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let users = text.lines().filter_map(|line| line.split_once(' '));
        let users = users.map(|(id, user)| (id.to_owned(), user.to_owned()));
        Ok(Self {
            path: path.to_owned(),
            users: Mutex::new(users.collect()),
        })
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs somebody in: the cookie to set. `SameSite` keeps pages of others from using it, also for streams.
    pub(crate) fn begin(&self, user: &str) -> io::Result<String> {
        let [high, low] = random_seed();
        let id = format!("{high:016x}{low:016x}");
        let mut users = self.users();
        users.insert(id.clone(), user.to_owned());
        self.save(&users)?;
        Ok(format!("{NAME}={id}; Path=/; HttpOnly; SameSite=Lax"))
    }

    /// Who asks.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Option<Session> {
        let cookies = headers.get_all(COOKIE).iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';'));
        let id = pairs.find_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='))?;
        let user = self.users().get(id)?.clone();
        Some(Session {
            id: id.to_owned(),
            user,
        })
    }

    pub(crate) fn end(&self, id: &str) {
        let mut users = self.users();
        users.remove(id);
        // If it cannot be saved, the session is over until the next start.
        let _ = self.save(&users);
    }

    fn save(&self, users: &HashMap<String, String>) -> io::Result<()> {
        let lines = users.iter().map(|(id, user)| format!("{id} {user}\n"));
        fs::write(&self.path, lines.collect::<String>())
    }
}
