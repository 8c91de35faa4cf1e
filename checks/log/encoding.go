package log

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

// findEncoding returns an encoding by name, nil for UTF-8. All of them leave newlines as they are.
func findEncoding(name string) (encoding.Encoding, error) {
	switch plain := plainName(name); plain {
	case "utf8":
		return nil, nil
	case "eucjp":
		return japanese.EUCJP, nil
	case "shiftjis", "sjis", "cp932", "windows31j":
		return japanese.ShiftJIS, nil
	case "iso2022jp":
		return japanese.ISO2022JP, nil
	case "utf16", "utf16be", "utf16le", "big5", "euckr", "hzgb2312", "gbk", "gb18030":
		return nil, fmt.Errorf("%s is not supported: have the log written in UTF-8", name)
	case "latin1":
		return charmap.ISO8859_1, nil
	default:
		plain = strings.Replace(plain, "cp", "ibmcodepage", 1)
		for _, e := range charmap.All {
			if s, ok := e.(fmt.Stringer); ok && plainName(s.String()) == plain {
				return e, nil
			}
		}
	}
	return nil, errors.New("it must be UTF-8, EUC-JP, Shift_JIS, ISO-2022-JP or of one byte a character, like ISO-8859-15, Windows1252 or KOI8R")
}

// plainName returns the letters and digits of a name: people write Shift_JIS, shift-jis and ShiftJIS.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name))
}

// decode returns a line in UTF-8. What is not of the encoding becomes U+FFFD.
func (c *checker) decode(line []byte) []byte {
	if c.encoding == nil {
		return line
	}
	if decoded, err := c.encoding.NewDecoder().Bytes(line); err == nil {
		return decoded
	}
	return line
}
