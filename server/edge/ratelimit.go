package edge

import (
	"hash/maphash"
	"math"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"golang.org/x/time/rate"
)

// Class is what a budget is for.
type Class uint8

// The classes. Budgets are per process: with n web processes a caller has up to n times as much.
const (
	unlimited       Class = iota
	ClassIP               // all requests of one address that the edge has to think about
	ClassAuth             // sign-in, sign-up, recovery, by address
	ClassOnboarding       // self-service signup, by address
	ClassPerson           // requests of one signed-in person
	ClassKey              // requests of one API key
	classes
)

var classNames = [classes]string{"", "ip", "auth", "onboarding", "person", "key"}

// Budget is how many requests fit into a window; they flow back evenly. The zero Budget is unlimited.
type Budget struct {
	Requests int
	Window   time.Duration
}

// PerMinute is a budget of n requests a minute.
func PerMinute(n int) Budget { return Budget{n, time.Minute} }

// Limits are the budgets by class.
type Limits [classes]Budget

// DefaultLimits are the budgets of production.
func DefaultLimits() Limits {
	return Limits{
		ClassIP:         PerMinute(600),
		ClassAuth:       PerMinute(60),
		ClassOnboarding: PerMinute(30),
		ClassPerson:     PerMinute(600),
		ClassKey:        PerMinute(600),
	}
}

const (
	limiterShards     = 32
	limiterShardLimit = 2_000 // callers remembered per shard: 64,000 in all
)

type limiter struct {
	limits Limits
	now    func() time.Time
	seed   maphash.Seed
	shards [limiterShards]struct {
		sync.Mutex
		buckets map[bucketKey]*rate.Limiter
	}
}

type bucketKey struct {
	class Class
	id    [16]byte
}

func newLimiter(limits Limits, now func() time.Time) *limiter {
	return &limiter{limits: limits, now: now, seed: maphash.MakeSeed()}
}

// take spends one request; left is what remains, wait how long until there is one, and full until all are back.
func (l *limiter) take(key bucketKey) (ok bool, left int, wait, full time.Duration) {
	b := l.limits[key.class]
	perSecond := float64(b.Requests) / b.Window.Seconds()
	now := l.now()
	bucket := l.bucket(key, perSecond, b.Requests, now)
	ok = bucket.AllowN(now, 1)
	tokens := bucket.TokensAt(now)
	seconds := func(missing float64) time.Duration {
		return time.Duration(math.Ceil(max(0, missing)/perSecond)) * time.Second
	}
	return ok, max(0, int(tokens)), seconds(1 - tokens), seconds(float64(b.Requests) - tokens)
}

func (l *limiter) bucket(key bucketKey, perSecond float64, burst int, now time.Time) *rate.Limiter {
	s := &l.shards[maphash.Comparable(l.seed, key)%limiterShards]
	s.Lock()
	defer s.Unlock()
	if b, ok := s.buckets[key]; ok {
		return b
	}
	if s.buckets == nil {
		s.buckets = make(map[bucketKey]*rate.Limiter)
	}
	if len(s.buckets) >= limiterShardLimit {
		delete(s.buckets, idlest(s.buckets, now))
	}
	b := rate.NewLimiter(rate.Limit(perSecond), burst)
	s.buckets[key] = b
	return b
}

// idlest picks, of a few, the bucket that is fullest for its size: forgetting it forgives the least.
func idlest(buckets map[bucketKey]*rate.Limiter, now time.Time) (victim bucketKey) {
	best, seen := -1.0, 0
	for key, b := range buckets {
		if fill := b.TokensAt(now) / float64(max(1, b.Burst())); fill > best {
			best, victim = fill, key
		}
		if seen++; seen == 16 {
			break
		}
	}
	return victim
}

// limit spends one request of the class and says so in the headers of draft-ietf-httpapi-ratelimit-headers-10.
func (e *Edge) limit(c *fiber.Ctx, class Class, id [16]byte) error {
	budget := e.cfg.Limits[class]
	if class == unlimited || budget.Requests <= 0 || budget.Window <= 0 {
		return nil
	}
	ok, left, wait, full := e.limiter.take(bucketKey{class, id})
	name := `"` + classNames[class] + `"`
	c.Append("RateLimit-Policy", name+";q="+strconv.Itoa(budget.Requests)+";w="+strconv.Itoa(int(budget.Window.Seconds())))
	c.Append("RateLimit", name+";r="+strconv.Itoa(left)+";t="+strconv.Itoa(int(full.Seconds())))
	if !ok {
		return NewProblem(fiber.StatusTooManyRequests, "rate_limited", "Too many requests. Wait and try again.").RetryAfter(max(wait, time.Second))
	}
	return nil
}

func (e *Edge) limitPrincipal(c *fiber.Ctx, p Principal) error {
	if p.Kind == Key {
		return e.limit(c, ClassKey, p.KeyID)
	}
	if p.UserID == uuid.Nil {
		return nil
	}
	return e.limit(c, ClassPerson, p.UserID)
}

// ipKey is what one subscriber holds: an IPv4 address, or an IPv6 /64.
func ipKey(ip string) [16]byte {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return [16]byte{}
	}
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.Addr().As16()
		}
	}
	return addr.As16()
}
