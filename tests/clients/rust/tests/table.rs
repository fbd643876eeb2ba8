//! The table of docs/client-comparison.md is what the clients do, no more and no less.

const PAGE: &str = include_str!("../../../../docs/client-comparison.md");

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_page_says_what_the_clients_do() {
    let table = rust_clients::table::table().await;
    let (_, rest) = PAGE
        .split_once("<!-- table -->\n\n")
        .expect("the page has a place for the table");
    let (page, _) = rest
        .split_once("<!-- end of table -->")
        .expect("the table has an end");
    for (page, found) in page.lines().zip(table.lines()) {
        assert_eq!(page, found, "docs/client-comparison.md, and what was found");
    }
    assert_eq!(page, table, "`cargo run --bin compare` prints the table");
}
