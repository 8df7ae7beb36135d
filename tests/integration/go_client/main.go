// Calls Clawdbot: see the usage below. Prints each response as one line of JSON. A call that fails prints its
// status and its details instead, on stderr, and the exit code is 1.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	commonv1 "clawdbot.dev/protos/clawdbot/common/v1"
	dialoguev1 "clawdbot.dev/protos/clawdbot/dialogue/v1"
	modelgatewayv1 "clawdbot.dev/protos/clawdbot/model_gateway/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const usage = `usage: go run . [-key KEY] [-timeout 30s] ADDRESS COMMAND

  converse FLOW LINE…   each line is a turn of a new session; its events are streamed
  generate TEXT         the reply of the default model
  stream TEXT           the same as events, as they arrive
`

func main() {
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	key := flag.String("key", "", "the API key")
	timeout := flag.Duration("timeout", 30*time.Second, "the deadline of each call")
	flag.Parse()
	words := flag.Args()
	if len(words) < 3 {
		flag.Usage()
		os.Exit(2)
	}
	// Credentials for TLS, with or without a client certificate, are in google.golang.org/grpc/credentials.
	connection, err := grpc.NewClient(words[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fail(err)
	}
	defer connection.Close()
	caller := caller{connection, *key, *timeout}
	switch command, rest := words[1], words[2:]; command {
	case "converse":
		err = caller.converse(rest[0], rest[1:])
	case "generate":
		err = caller.generate(rest[0])
	case "stream":
		err = caller.stream(rest[0])
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fail(err)
	}
}

type caller struct {
	connection *grpc.ClientConn
	key        string
	timeout    time.Duration
}

// The context of one call: its deadline and the key.
func (c caller) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	if c.key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.key)
	}
	return ctx, cancel
}

func (c caller) converse(flow string, lines []string) error {
	dialogue := dialoguev1.NewDialogueServiceClient(c.connection)
	ctx, cancel := c.context()
	defer cancel()
	created, err := dialogue.CreateSession(ctx, &dialoguev1.CreateSessionRequest{Flow: flow, RequestId: requestID()})
	if err != nil {
		return err
	}
	for _, line := range lines {
		request := &dialoguev1.StreamTurnRequest{
			SessionId: created.Session.Id,
			RequestId: requestID(),
			Input:     &dialoguev1.StreamTurnRequest_Text{Text: line},
		}
		ctx, cancel := c.context()
		events, err := dialogue.StreamTurn(ctx, request)
		if err == nil {
			err = printAll(events)
		}
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (c caller) generate(text string) error {
	ctx, cancel := c.context()
	defer cancel()
	reply, err := modelgatewayv1.NewModelGatewayServiceClient(c.connection).Generate(ctx, question(text))
	if err != nil {
		return err
	}
	return printLine(reply)
}

func (c caller) stream(text string) error {
	ctx, cancel := c.context()
	defer cancel()
	request := &modelgatewayv1.StreamGenerateRequest{Request: question(text)}
	events, err := modelgatewayv1.NewModelGatewayServiceClient(c.connection).StreamGenerate(ctx, request)
	if err != nil {
		return err
	}
	return printAll(events)
}

func question(text string) *modelgatewayv1.GenerateRequest {
	part := &commonv1.Part{Content: &commonv1.Part_Text{Text: text}}
	message := &commonv1.Message{Role: commonv1.Role_ROLE_USER, Parts: []*commonv1.Part{part}}
	return &modelgatewayv1.GenerateRequest{Messages: []*commonv1.Message{message}}
}

// A request_id: with the same one, a repeated call changes nothing more.
func requestID() string {
	return fmt.Sprintf("go-%016x", rand.Uint64())
}

func printAll[Event any](events grpc.ServerStreamingClient[Event]) error {
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := printLine(any(event).(proto.Message)); err != nil {
			return err
		}
	}
}

func printLine(message proto.Message) error {
	line, err := protojson.Marshal(message)
	if err == nil {
		_, err = fmt.Println(string(line))
	}
	return err
}

// Prints what a program needs to know about a failed call, and exits.
func fail(err error) {
	failed := status.Convert(err)
	report := map[string]any{"code": failed.Code().String(), "message": failed.Message()}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			report["reason"], report["domain"], report["metadata"] = detail.Reason, detail.Domain, detail.Metadata
		case *errdetails.RetryInfo:
			report["retry_seconds"] = detail.RetryDelay.AsDuration().Seconds()
		case *errdetails.BadRequest:
			fields := map[string]string{}
			for _, violation := range detail.FieldViolations {
				fields[violation.Field] = violation.Description
			}
			report["fields"] = fields
		}
	}
	line, _ := json.Marshal(report)
	fmt.Fprintln(os.Stderr, string(line))
	os.Exit(1)
}
