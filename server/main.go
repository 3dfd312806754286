// Command kestrel is the whole of Kestrel: web server, workers, schema and the development stack, one subcommand each.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/caarlos0/env/v11"
)

// version is set by the linker.
var version = "unknown"

const usage = `Kestrel: AI phone receptionists for small businesses.

Usage: kestrel <command> [arguments]

  serve     answer HTTP: dashboards, API, webhooks
  work      run the jobs
  migrate   bring the database's schema up to date
  dev       everything in one process, with stand-ins for every vendor (not in production builds)
  openapi   print the API's OpenAPI document
  admin     grant, revoke and list platform admins
  version   print the version
  help env  print the environment variables

kestrel <command> -h lists a command's flags.
`

// errUsage ends the program with status 2: the command line is wrong, and what is wrong has been said.
var errUsage = errors.New("wrong usage")

// process is what a command gets from outside, so that tests run the same code as main.
type process struct {
	args           []string          // after the command's name
	environ        map[string]string // never os.Getenv
	stdout, stderr io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, process{os.Args[1:], env.ToMap(os.Environ()), os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run dispatches to a command and returns the exit status: 0 done, 1 failed with one line on stderr for each reason,
// 2 wrong usage.
func run(ctx context.Context, p process) int {
	if len(p.args) == 0 {
		_, _ = io.WriteString(p.stderr, usage)
		return 2
	}
	name := p.args[0]
	p.args = p.args[1:]
	var err error
	switch name {
	case "serve":
		err = runServe(ctx, p)
	case "work":
		err = runWork(ctx, p)
	case "migrate":
		err = runMigrate(ctx, p)
	case "dev":
		err = runDev(ctx, p)
	case "openapi":
		err = runOpenAPI(p)
	case "admin":
		err = runAdmin(ctx, p)
	case "version":
		_, err = fmt.Fprintln(p.stdout, version)
	case "help", "-h", "--help":
		text := usage
		if len(p.args) == 1 && p.args[0] == "env" {
			text = environmentTable()
		}
		_, err = io.WriteString(p.stdout, text)
	default:
		_, _ = fmt.Fprintf(p.stderr, "kestrel: unknown command %q\n\n%s", name, usage)
		return 2
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	_, _ = fmt.Fprintln(p.stderr, err)
	return 1
}

// parse reads a command's flags and wants exactly operands arguments after them. It says on stderr what is wrong.
func (p process) parse(flags *flag.FlagSet, operands int) error {
	flags.SetOutput(p.stderr)
	if err := flags.Parse(p.args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() != operands {
		_, _ = fmt.Fprintf(p.stderr, "kestrel %s takes %d arguments besides its flags, not %d\n", flags.Name(), operands, flags.NArg())
		return errUsage
	}
	return nil
}

// newLogger logs JSON in production and readable text in dev.
func newLogger(w io.Writer, cfg Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.Production() {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
