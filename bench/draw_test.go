package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestDraw(t *testing.T) {
	svg := draw([]growth{{hosts: 100, core: 0.2, resident: 70, list: cost{cpu: 2 * time.Millisecond}}, {hosts: 5000, core: 7, resident: 800, list: cost{cpu: 90 * time.Millisecond}}}, "a < b")
	d := xml.NewDecoder(strings.NewReader(strings.ReplaceAll(svg, "a < b", "a &lt; b")))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
	}
	for _, want := range []string{">5000<", ">800<", ">0.2<", ">90<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the drawing has no %q:\n%s", want, svg)
		}
	}
}

func TestRoundUp(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 0.3: 0.4, 1: 1, 1.1: 2, 85: 100, 512: 800} {
		if got := roundUp(v); got != want {
			t.Errorf("roundUp(%v) = %v, want %v", v, got, want)
		}
	}
}

func TestSnappyPlain(t *testing.T) {
	long := strings.Repeat("x", 1<<16+2)
	for text, want := range map[string]string{
		"":    "\x00",
		"abc": "\x03\xf4\x02\x00abc",
		long:  "\x82\x80\x04\xf4\xff\xff" + long[:1<<16] + "\xf4\x01\x00xx",
	} {
		if got := string(snappyPlain(nil, []byte(text))); got != want {
			t.Errorf("snappyPlain of %d bytes = %.20q, want %.20q", len(text), got, want)
		}
	}
}
