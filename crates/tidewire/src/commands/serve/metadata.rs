//! What the hub keeps beside its log: revocations, and what may be used once. One small file in the data directory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::{Value, json};
use tidewire_core::Topic;
use tidewire_hub::{HubStore, MemoryStore, Revocation, RevokedBy, StoreError};

use crate::failure::{Failure, Outcome};

/// The file, in the data directory.
const FILE: &str = "hub.redb";

/// What was revoked, as JSON; when, and until when, in milliseconds since 1970.
const REVOCATIONS: TableDefinition<'_, &str, (u64, Option<u64>)> =
    TableDefinition::new("revocations");

/// What was used, and until when that counts, in milliseconds since 1970.
const SPENT: TableDefinition<'_, &[u8], u64> = TableDefinition::new("spent");

/// So often is let go of what was used and is over.
const SWEEP_EVERY: u64 = 1_000;

/// Opens the store of a data directory; without one everything is kept in memory.
pub(super) fn open(dir: Option<&Path>) -> Outcome<Arc<dyn HubStore>> {
    let Some(dir) = dir else {
        return Ok(Arc::new(MemoryStore::default()));
    };
    let path = dir.join(FILE);
    let opened = DiskStore::open(&path).map_err(|error| {
        Failure::failed(format!("{}: {error}", path.display())).next(
            "it holds which tokens are revoked. If it is damaged, put it aside and revoke them again",
        )
    })?;
    Ok(Arc::new(opened))
}

struct DiskStore {
    database: Database,
    spends: AtomicU64,
}

impl DiskStore {
    fn open(path: &Path) -> Result<Self, redb::Error> {
        let database = Database::create(path)?;
        // So that reading finds them.
        let write = database.begin_write()?;
        write.open_table(REVOCATIONS)?;
        write.open_table(SPENT)?;
        write.commit()?;
        Ok(Self {
            database,
            spends: AtomicU64::new(0),
        })
    }

    /// Each commit is on the disk when it returns: redb's default durability.
    fn write<T>(
        &self,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let written = || {
            let write = self.database.begin_write()?;
            let answer = change(&write)?;
            write.commit()?;
            Ok(answer)
        };
        written().map_err(failed)
    }

    fn read(&self) -> Result<Vec<(String, (u64, Option<u64>))>, redb::Error> {
        let read = self.database.begin_read()?;
        let table = read.open_table(REVOCATIONS)?;
        let mut all = Vec::new();
        for entry in table.iter()? {
            let (key, value) = entry?;
            all.push((key.value().to_owned(), value.value()));
        }
        Ok(all)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` has it")]
fn failed(error: redb::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl HubStore for DiskStore {
    fn revocations(&self) -> Result<Vec<Revocation>, StoreError> {
        let all = self.read().map_err(failed)?;
        all.into_iter()
            .map(|(key, (revoked_ms, until_ms))| {
                let what = decode(&key).ok_or_else(|| {
                    StoreError::Failed(format!("{key:?} is no revocation that this version knows"))
                })?;
                Ok(Revocation {
                    what,
                    revoked_ms,
                    until_ms,
                })
            })
            .collect()
    }

    fn keep(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let key = encode(&revocation.what)?;
        self.write(|write| {
            let mut table = write.open_table(REVOCATIONS)?;
            table.insert(&*key, (revocation.revoked_ms, revocation.until_ms))?;
            Ok(())
        })
    }

    fn forget(&self, revocations: &[RevokedBy]) -> Result<(), StoreError> {
        let keys: Vec<_> = revocations.iter().map(encode).collect::<Result<_, _>>()?;
        self.write(|write| {
            let mut table = write.open_table(REVOCATIONS)?;
            for key in &keys {
                table.remove(&**key)?;
            }
            Ok(())
        })
    }

    fn spend(&self, nonce: &[u8], until_ms: u64, now_ms: u64) -> Result<bool, StoreError> {
        let spends = self.spends.fetch_add(1, Ordering::Relaxed);
        let sweeps = spends.is_multiple_of(SWEEP_EVERY);
        // There is one writer at a time: of those who ask at once, one finds nothing.
        self.write(|write| {
            let mut table = write.open_table(SPENT)?;
            if sweeps {
                table.retain(|_, until_ms| until_ms > now_ms)?;
            }
            let known = table.get(nonce)?.map(|until_ms| until_ms.value());
            let is_new = known.is_none_or(|until_ms| until_ms <= now_ms);
            if is_new {
                table.insert(nonce, until_ms)?;
            }
            Ok(is_new)
        })
    }
}

/// What is revoked, as a key: its kind, the issuer, the name.
fn encode(what: &RevokedBy) -> Result<String, StoreError> {
    let key = match what {
        RevokedBy::TokenId { issuer, id } => json!(["token_id", issuer, id]),
        RevokedBy::Subject { issuer, subject } => json!(["subject", issuer, subject]),
        RevokedBy::Topic(topic) => json!(["topic", null, topic.to_string()]),
        other => {
            return Err(StoreError::Failed(format!(
                "{other:?} is not known to this store"
            )));
        }
    };
    Ok(key.to_string())
}

fn decode(key: &str) -> Option<RevokedBy> {
    let Ok(Value::Array(parts)) = serde_json::from_str(key) else {
        return None;
    };
    let [kind, issuer, name] = &parts[..] else {
        return None;
    };
    let (issuer, name) = (issuer.as_str().map(str::to_owned), name.as_str()?);
    match kind.as_str()? {
        "token_id" => Some(RevokedBy::TokenId {
            issuer,
            id: name.to_owned(),
        }),
        "subject" => Some(RevokedBy::Subject {
            issuer,
            subject: name.to_owned(),
        }),
        "topic" => Topic::parse(name).ok().map(RevokedBy::Topic),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revoked(what: RevokedBy, revoked_ms: u64) -> Revocation {
        Revocation {
            what,
            revoked_ms,
            until_ms: revoked_ms.checked_add(5).filter(|until| until % 2 == 0),
        }
    }

    #[test]
    fn what_is_kept_is_there_when_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let id = |issuer: Option<&str>, id: &str| RevokedBy::TokenId {
            issuer: issuer.map(str::to_owned),
            id: id.to_owned(),
        };
        let all = [
            revoked(id(None, "a\"b"), 1),
            revoked(id(Some("https://i.example"), "a\"b"), 2),
            revoked(
                RevokedBy::Subject {
                    issuer: None,
                    subject: "ada".to_owned(),
                },
                3,
            ),
            revoked(RevokedBy::Topic(Topic::parse("a/b").unwrap()), 4),
        ];
        {
            let store = open(Some(folder.path())).unwrap();
            for one in &all {
                store.keep(one).unwrap();
                store.keep(one).unwrap();
            }
            assert_eq!(store.spend(b"n", 100, 1), Ok(true));
            assert_eq!(store.spend(b"n", 100, 2), Ok(false));
        }
        let store = open(Some(folder.path())).unwrap();
        let mut found = store.revocations().unwrap();
        found.sort_by_key(|one| one.revoked_ms);
        assert_eq!(found, all);
        assert_eq!(store.spend(b"n", 100, 3), Ok(false));
        assert_eq!(store.spend(b"n", 200, 100), Ok(true), "it was over");
        let gone: Vec<_> = all[..3].iter().map(|one| one.what.clone()).collect();
        store.forget(&gone).unwrap();
        assert_eq!(store.revocations().unwrap(), all[3..]);
    }

    #[test]
    fn what_is_no_store_is_said() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"not a store").unwrap();
        assert!(open(Some(folder.path())).is_err());
    }
}
