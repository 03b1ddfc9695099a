// Copyright (c) txsockjs contributors. See LICENSE for details.

// sockjs-go: server PORT
package main

import (
	"log"
	"net/http"
	"os"
	"sync"

	"github.com/igm/sockjs-go/v3/sockjs"
)

var (
	lock    sync.RWMutex
	members = map[string]sockjs.Session{}
)

func echo(session sockjs.Session) {
	for {
		message, err := session.Recv()
		if err != nil {
			return
		}
		session.Send(message)
	}
}

func fanout(session sockjs.Session) {
	lock.Lock()
	members[session.ID()] = session
	lock.Unlock()
	for {
		message, err := session.Recv()
		if err != nil {
			break
		}
		lock.RLock()
		for _, member := range members {
			member.Send(message)
		}
		lock.RUnlock()
	}
	lock.Lock()
	delete(members, session.ID())
	lock.Unlock()
}

func main() {
	http.Handle("/echo/", sockjs.NewHandler("/echo", sockjs.DefaultOptions, echo))
	http.Handle("/fanout/", sockjs.NewHandler("/fanout", sockjs.DefaultOptions, fanout))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
