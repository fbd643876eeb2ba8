//! HTTP for the hub: a request becomes a grant, a filter and a cursor, a publish becomes an append
