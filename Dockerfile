# The production image: one static binary, with the UI inside and no development stand-ins.
FROM node:20-bookworm-slim AS ui
WORKDIR /src/admin-ui
COPY admin-ui/package.json admin-ui/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY admin-ui/ ./
RUN npm run build

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=ui /src/admin-ui/dist admin-ui/dist
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -buildvcs=false -tags production -trimpath \
    -ldflags "-s -w -X main.version=${VERSION}" -o /kestrel ./server

# Brings CA certificates, time zones and a non-root user; no shell.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /kestrel /usr/local/bin/kestrel
EXPOSE 8080
# No ENTRYPOINT: Fly's process groups and its release command name the whole command.
CMD ["/usr/local/bin/kestrel", "serve"]
