package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// How patient a download is.
const (
	connectPatience = 10 * time.Second // to reach a server
	answerPatience  = 30 * time.Second // from the request to the answer's header
	stallPatience   = 60 * time.Second // without a byte
	fruitless       = 5                // attempts in a row that bring no byte
	sayEvery        = 20 * time.Second
)

// client reaches the model's server. The bytes of a range are counted as they are stored, so nothing may compress them
// on the way.
var client = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: connectPatience}).DialContext,
	TLSHandshakeTimeout:   connectPatience,
	ResponseHeaderTimeout: answerPatience,
	DisableCompression:    true,
}}

// download fetches a URL into an unfinished file, which may hold the beginning already.
type download struct {
	url   *url.URL
	name  string // of the model, for people
	part  *partFile
	hub   hub
	total int64 // bytes, as far as the server announced them; else 0
}

// interruption is what another attempt may mend.
type interruption struct{ error }

// complete returns when the file has the right bytes.
func (d *download) complete(ctx context.Context) error {
	kept := d.part.have
	err := d.fetch(ctx)
	if statusOf(err) == wrongBytes && kept > 0 {
		// What an earlier start left may be what is wrong, so the server is not judged by it.
		say("%s: %v: once more from the beginning", d.name, err)
		err = d.fetch(ctx)
	}
	return err
}

// fetch takes a connection that is cut up again as long as bytes arrive, and checks the whole.
func (d *download) fetch(ctx context.Context) error {
	for idle := 0; ; {
		had := d.part.have
		err := d.attempt(ctx)
		if err == nil {
			return d.part.check(d.from())
		}
		var cut interruption
		if ctx.Err() != nil || !errors.As(err, &cut) {
			return err
		}
		if d.part.have > had {
			idle = 0
		}
		if idle++; idle == fruitless {
			return fail(unreachable, "%s cannot be downloaded: %v (what has arrived is kept for the next start)", d.from(), cut)
		}
		say("%s: %v: going on at %s", d.name, cut, d.progress())
		if err := pause(ctx, time.Duration(idle)*time.Second); err != nil {
			return err
		}
	}
}

// attempt makes one request and stores what it brings.
func (d *download) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url.String(), nil)
	if err != nil {
		return fail(misconfigured, "%s is not a URL: %v", d.from(), err)
	}
	request.Header.Set("User-Agent", "pollex-entrypoint")
	d.hub.authorise(request)
	if d.part.have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.part.have))
	}
	response, err := client.Do(request)
	if err != nil {
		return interruption{withoutURL(err)}
	}
	defer response.Body.Close()
	if more, err := d.accept(response); !more || err != nil {
		return err
	}
	if d.total > 0 {
		if err := d.part.needs(d.total - d.part.have); err != nil {
			return err
		}
	}
	say("%s: downloading from %s: %s", d.name, d.from(), d.progress())
	return d.store(response.Body, cancel)
}

// accept looks at an answer's header: whether its body is the rest, or the whole, or there is nothing more to come.
func (d *download) accept(response *http.Response) (more bool, err error) {
	switch status := response.StatusCode; {
	case status == http.StatusOK:
		d.total = response.ContentLength // -1 if it is not announced
		return true, d.part.restart()
	case status == http.StatusPartialContent:
		var first, last int64
		answered := response.Header.Get("Content-Range")
		if n, _ := fmt.Sscanf(answered, "bytes %d-%d/%d", &first, &last, &d.total); n < 2 || first != d.part.have {
			return false, fail(unreachable, "%s answers with %q when asked for what follows byte %d", d.from(), answered, d.part.have)
		}
		return true, nil
	case status == http.StatusRequestedRangeNotSatisfiable && d.part.have > 0:
		return false, nil // nothing follows: the hash tells whether it is whole
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return false, interruption{fmt.Errorf("%s answers %s", d.url.Host, response.Status)}
	}
	return false, fail(unreachable, "%s answers %s", d.from(), response.Status)
}

// store adds a body to the file; `cancel` ends the request when no more bytes come.
func (d *download) store(body io.Reader, cancel func()) error {
	stalled := time.AfterFunc(stallPatience, cancel)
	defer stalled.Stop()
	buffer := make([]byte, 1<<18)
	for said := time.Now(); ; {
		n, err := body.Read(buffer)
		if n > 0 {
			stalled.Reset(stallPatience)
			if err := d.part.add(buffer[:n]); err != nil {
				return err
			}
		}
		if time.Since(said) > sayEvery {
			said = time.Now()
			say("%s: %s", d.name, d.progress())
		}
		switch {
		case errors.Is(err, context.Canceled):
			return interruption{fmt.Errorf("no byte came for %v", stallPatience)}
		case err == io.EOF && d.part.have < d.total:
			return interruption{io.ErrUnexpectedEOF}
		case err == io.EOF:
			return nil
		case err != nil:
			return interruption{withoutURL(err)}
		}
	}
}

func (d *download) progress() string {
	if d.total <= 0 {
		return fmt.Sprintf("%d MB", d.part.have/1e6)
	}
	return fmt.Sprintf("%d%% (%d of %d MB)", d.part.have*100/d.total, d.part.have/1e6, d.total/1e6)
}

// from is the URL without what may be secret in it: a password, or a query that holds a token.
func (d *download) from() string {
	return d.url.Scheme + "://" + d.url.Host + d.url.Path
}

// withoutURL leaves out of an HTTP client's error the URL with all its parts.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// pause waits, unless a stop comes.
func pause(ctx context.Context, length time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(length):
		return nil
	}
}
