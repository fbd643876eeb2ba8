// Mercure's hub as its authors ship it (a Caddy with one module), built from the Go proxy for `cargo xtask bench fanout`.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
	_ "github.com/dunglas/mercure/caddy"
)

func main() {
	caddycmd.Main()
}
