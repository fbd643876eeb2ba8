// github.com/tmaxmax/go-sse. Usage: tmaxmax URL
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/tmaxmax/go-sse"
)

func main() {
	request, err := http.NewRequest(http.MethodGet, os.Args[1], http.NoBody)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	connection := sse.NewConnection(request)
	connection.SubscribeToAll(func(event sse.Event) {
		line, _ := json.Marshal(map[string]string{"id": event.LastEventID, "type": event.Type, "data": event.Data})
		fmt.Println(string(line))
	})
	fmt.Fprintln(os.Stderr, "ended:", connection.Connect())
}
