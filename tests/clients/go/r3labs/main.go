// github.com/r3labs/sse/v2. Usage: r3labs URL [--again]. It takes the end of an answer for the end of all; with --again it is
// started again, and remembers the last id.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/r3labs/sse/v2"
)

func main() {
	client := sse.NewClient(os.Args[1])
	again := len(os.Args) > 2 && os.Args[2] == "--again"
	for {
		err := client.SubscribeRaw(show)
		fmt.Fprintln(os.Stderr, "ended:", err)
		if !again {
			return
		}
		time.Sleep(time.Second)
	}
}

func show(event *sse.Event) {
	line, _ := json.Marshal(map[string]string{"id": string(event.ID), "type": string(event.Event), "data": string(event.Data)})
	fmt.Println(string(line))
}
