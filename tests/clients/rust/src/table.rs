//! The cases of all clients as the table of docs/client-comparison.md.

use tokio::task::JoinHandle;

use crate::Client;
use crate::cases::{self, Group};
use crate::judge::{self, Case, Outcome};

/// Every case against every client, all at once: most of the time is waiting for what does not happen.
pub async fn table() -> String {
    let groups: Vec<_> = cases::all().into_iter().map(start).collect();
    let mut table = String::new();
    for (name, rows) in groups {
        table += &section(name, rows).await;
    }
    table
}

type Row = JoinHandle<(Case, [(bool, Outcome); 4])>;

fn start(group: Group) -> (&'static str, Vec<Row>) {
    let rows = group.cases.into_iter().map(|case| {
        tokio::spawn(async move {
            let [a, b, c, d] = Client::ALL.map(|client| judge::run(&case, client));
            let (a, b, c, d) = tokio::join!(a, b, c, d);
            (case, [a, b, c, d])
        })
    });
    (group.name, rows.collect())
}

async fn section(name: &str, rows: Vec<Row>) -> String {
    let names = Client::ALL.map(|client| format!("`{}`", client.name()));
    let mut text = format!("### {name}\n\n| | {} |\n|---|", names.join(" | "));
    text += &"---|".repeat(Client::ALL.len());
    text.push('\n');
    for row in rows {
        let (case, outcomes) = row.await.expect("no case panics");
        let cells = Client::ALL
            .iter()
            .zip(&outcomes)
            .map(
                |(client, (done, outcome))| match (done, (case.how)(*client)) {
                    (true, "") => "yes".to_owned(),
                    (true, how) => format!("yes, {how}"),
                    (false, _) if outcome.has_panicked => "no, it panics".to_owned(),
                    (false, _) => "no".to_owned(),
                },
            );
        let cells: Vec<_> = cells.collect();
        text += &format!("| {} | {} |\n", case.name, cells.join(" | "));
        if std::env::var_os("CLIENTS_EXPLAIN").is_some() {
            for (client, (done, outcome)) in Client::ALL.iter().zip(&outcomes) {
                eprintln!("{} / {}: {done}\n  {outcome:?}", case.name, client.name());
            }
        }
    }
    text.push('\n');
    text
}
