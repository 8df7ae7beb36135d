// The packages that protoc writes here: import "clawdbot.dev/protos/clawdbot/dialogue/v1".
module clawdbot.dev/protos

go 1.25.0

require (
	google.golang.org/grpc v1.81.0
	google.golang.org/protobuf v1.36.12
)
