//! Prints the table of docs/client-comparison.md. With `CLIENTS_EXPLAIN=1` it says on stderr what each client did.

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() {
    print!("{}", rust_clients::table::table().await);
}
