// Asks a server how it is, as a user of Go's gRPC would. See usage.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/health" // checks health for round_robin
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const usage = `Usage: go_client check|watch|connect ADDRESS [NAME]

  check    prints the status of NAME, or "error" and the code
  watch    prints each status of NAME, and at last "error" and the code
  connect  prints each state of a channel that uses ADDRESS (round_robin) while
           NAME serves there

Exit status: 0, 1 if the channel cannot be made, or 2 if the command line is
wrong.
`

func show(response *healthpb.HealthCheckResponse, err error) {
	if err != nil {
		fmt.Println("error", int(status.Code(err)))
	} else {
		fmt.Println(response.Status)
	}
}

func watch(ctx context.Context, client healthpb.HealthClient, request *healthpb.HealthCheckRequest) {
	stream, err := client.Watch(ctx, request)
	if err != nil {
		show(nil, err)
	}
	for err == nil {
		var response *healthpb.HealthCheckResponse
		response, err = stream.Recv()
		show(response, err)
	}
}

func connect(ctx context.Context, channel *grpc.ClientConn) {
	for {
		state := channel.GetState()
		fmt.Println(state)
		if !channel.WaitForStateChange(ctx, state) {
			return
		}
	}
}

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	verb, address, name := os.Args[1], os.Args[2], ""
	if len(os.Args) == 4 {
		name = os.Args[3]
	}
	options := []grpc.DialOption{grpc.WithInsecure()}
	if verb == "connect" {
		options = append(options, grpc.WithDefaultServiceConfig(fmt.Sprintf(
			`{"loadBalancingConfig": [{"round_robin": {}}],
			  "healthCheckConfig": {"serviceName": %q}}`, name)))
	}
	channel, err := grpc.Dial(address, options...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "go_client:", err)
		os.Exit(1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := healthpb.NewHealthClient(channel)
	request := &healthpb.HealthCheckRequest{Service: name}
	switch verb {
	case "check":
		show(client.Check(ctx, request))
	case "watch":
		watch(ctx, client, request)
	case "connect":
		connect(ctx, channel)
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
}
