// An echo server in Go, one goroutine per connection, to be measured as a program:
//
//	pybench --func exec:'examples/build/echo-go --port {port}' --conns 100
package main

import (
	"flag"
	"log"
	"net"
	"strconv"
)

func echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 64*1024)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func main() {
	host := flag.String("host", "", "address to listen on (default all)")
	port := flag.Int("port", 7777, "port to listen on")
	flag.Parse()
	listener, err := net.Listen("tcp", net.JoinHostPort(*host, strconv.Itoa(*port)))
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept() // TCP_NODELAY is on: Go's default
		if err != nil {
			log.Fatal(err)
		}
		go echo(conn)
	}
}
