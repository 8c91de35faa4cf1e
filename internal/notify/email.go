package notify

// Mail says how e-mail is sent. The zero value means that it cannot be.
type Mail struct {
	Server   string // host:port of an SMTP server
	From     string // address of the sender
	User     string // "" for none
	Password string
	TLS      string // "starttls" (the default), "tls" from the first byte, or "none"
}
