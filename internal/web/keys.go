package web

import (
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
)

// keysPage is page/keys.html.
type keysPage struct {
	layout
	Keys   []saba.Key
	Secret string    // of a key that was just made; "" otherwise
	Made   *saba.Key // that key
	Name   string    // as it was typed
	Error  string
}

func (c *console) keyList(w http.ResponseWriter, r *http.Request, v visitor) error {
	return c.showKeys(w, r, v, http.StatusOK, keysPage{})
}

func (c *console) showKeys(w http.ResponseWriter, r *http.Request, v visitor, code int, p keysPage) error {
	p.layout = layoutFor(v, "keys", "API keys")
	p.Scripts = p.Secret != ""
	var err error
	if p.Keys, err = c.Store.Keys(r.Context(), v.Org); err != nil {
		return fmt.Errorf("list API keys: %w", err)
	}
	return c.render(w, r, code, "keys", p)
}

// makeKey makes an API key and returns it with its secret, which nobody sees again.
func (c *console) makeKey(r *http.Request, v visitor, name string, read, write bool) (saba.Key, string, error) {
	switch {
	case name == "":
		return saba.Key{}, "", saba.Errorf(saba.ErrInvalid, "Give the key a name, so that you know later who uses it.")
	case utf8.RuneCountInString(name) > maxKeyName:
		return saba.Key{}, "", saba.Errorf(saba.ErrInvalid, "The name may have at most %d characters.", maxKeyName)
	case !read && !write:
		return saba.Key{}, "", saba.Errorf(saba.ErrInvalid, "A key that may neither read nor write is of no use: choose at least one.")
	}
	id, err := c.newID()
	if err != nil {
		return saba.Key{}, "", err
	}
	secret, hash, err := c.newSecret()
	if err != nil {
		return saba.Key{}, "", err
	}
	k := saba.Key{ID: id, Org: v.Org, Name: name, Hash: hash, Read: read, Write: write, CreatedAt: c.Now().Unix()}
	if err := c.Store.CreateKey(r.Context(), k); err != nil {
		return saba.Key{}, "", fmt.Errorf("make an API key: %w", err)
	}
	c.Log.Info("an API key was made", "key", id, "name", name, "read", read, "write", write, "by", v.User)
	return k, secret, nil
}

func (c *console) keyCreate(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	name := r.PostForm.Get("name")
	k, secret, err := c.makeKey(r, v, name, r.PostForm.Get("read") != "", r.PostForm.Get("write") != "")
	if err != nil {
		if status(err) >= http.StatusInternalServerError {
			return err
		}
		return c.showKeys(w, r, v, http.StatusBadRequest, keysPage{Name: name, Error: sentence(err)})
	}
	// The page itself shows the secret, with no redirect: it must not be kept anywhere.
	return c.showKeys(w, r, v, http.StatusOK, keysPage{Secret: secret, Made: &k})
}

// key returns a key of the visitor's organization.
func (c *console) key(r *http.Request, v visitor) (saba.Key, error) {
	keys, err := c.Store.Keys(r.Context(), v.Org)
	if err != nil {
		return saba.Key{}, fmt.Errorf("list API keys: %w", err)
	}
	i := slices.IndexFunc(keys, func(k saba.Key) bool { return k.ID == r.PathValue("id") })
	if i < 0 {
		return saba.Key{}, saba.Errorf(saba.ErrNotFound, "There is no such API key: it may have been revoked already.")
	}
	return keys[i], nil
}

func (c *console) keyRevoke(w http.ResponseWriter, r *http.Request, v visitor) error {
	k, err := c.key(r, v)
	if err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "confirm", confirmPage{
		layout: layoutFor(v, "keys", "Revoke "+k.Name+"?"), Crumbs: []crumb{{"API keys", "/keys"}},
		Text: []string{
			"Whatever uses this key is refused from then on: agents keep their samples and try again, other programs fail.",
			"Revoking cannot be undone.",
		},
		Action: "/keys/" + k.ID + "/revoke", Do: "Revoke this key", Back: "/keys",
	})
}

func (c *console) keyRevokeDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	k, err := c.key(r, v)
	if err != nil {
		return err
	}
	if err := c.Store.DeleteKey(r.Context(), v.Org, k.ID); err != nil {
		return err
	}
	c.Log.Info("an API key was revoked", "key", k.ID, "name", k.Name, "by", v.User)
	http.Redirect(w, r, "/keys", http.StatusSeeOther)
	return nil
}
