package loader

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"
)

// signatureExt is what the name of a signature adds to that of the file.
const signatureExt = ".minisig"

// Key is a minisign public key, one whose signatures are trusted.
type Key = minisign.PublicKey

// ParseKey returns the public key that text is, as the tool minisign prints it,
// or the one in the file of that name.
func ParseKey(text string) (Key, error) {
	var k Key
	if k.UnmarshalText([]byte(text)) == nil {
		return k, nil
	}
	data, err := os.ReadFile(text)
	if err != nil {
		return k, fmt.Errorf("trusted key %q: neither a minisign public key (56 letters that begin with RW) nor a file with one: %w", text, err)
	}
	if err := k.UnmarshalText(data); err != nil {
		return k, fmt.Errorf("trusted key %s: not a minisign public key: %w", text, err)
	}
	return k, nil
}

// signed returns an error if the signature beside path is not that of one of the
// keys for the content of the private copy.
func signed(keys []Key, path, private string) error {
	sign := "sign it: swiftgo plugin sign " + shellWord(path)
	signature, err := os.ReadFile(path + signatureExt)
	if errors.Is(err, fs.ErrNotExist) {
		return &Error{path, errors.New("not signed: no " + filepath.Base(path) + signatureExt + " beside it, and --plugins_trusted_keys is given"), sign}
	}
	if err != nil {
		return err
	}
	var parsed minisign.Signature
	if err := parsed.UnmarshalText(signature); err != nil {
		return &Error{path, fmt.Errorf("its signature %s cannot be read: %w", filepath.Base(path)+signatureExt, err), sign}
	}
	data, err := os.ReadFile(private)
	if err != nil {
		return err
	}
	var trusted []string
	for _, k := range keys {
		if minisign.Verify(k, data, signature) {
			return nil
		}
		trusted = append(trusted, fmt.Sprintf("%016X", k.ID()))
		if k.ID() == parsed.KeyID {
			return &Error{path, fmt.Errorf("its signature by key %016X is not for this content: the file was changed after it was signed", k.ID()), "bring the signed file back, or " + sign}
		}
	}
	return &Error{path, fmt.Errorf("signed by key %016X, which is not trusted; trusted are %s", parsed.KeyID, strings.Join(trusted, ", ")), "have it signed by one of them, or add its key to --plugins_trusted_keys"}
}

// Sign writes a signature beside the plugin at path. The private key is one of
// the tool minisign's; the password is not asked for if the key has none.
func Sign(path, keyFile string, password func() (string, error)) error {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return fmt.Errorf("signing key: %w", err)
	}
	var key minisign.PrivateKey
	if minisign.IsEncrypted(text) {
		word, err := password()
		if err != nil {
			return err
		}
		if key, err = minisign.DecryptKey(word, text); err != nil {
			return fmt.Errorf("signing key %s: %w; is the password right?", keyFile, err)
		}
	} else if err := key.UnmarshalText(text); err != nil {
		return fmt.Errorf("signing key %s: not a minisign private key: %w", keyFile, err)
	}
	if _, err := Inspect(path); err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	return replace(path+signatureExt, minisign.SignWithComments(key, data, "file:"+name, "signature of "+name+" by swiftgo plugin sign"))
}

// GenerateKey writes a new private key to the file at path, encrypted if there
// is a password, and its public key to path.pub. It does not write over either.
func GenerateKey(path, password string) (Key, error) {
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return public, err
	}
	text, err := private.MarshalText()
	if password != "" {
		text, err = minisign.EncryptKey(password, private)
	}
	if err != nil {
		return public, err
	}
	publicText, err := public.MarshalText()
	if err != nil {
		return public, err
	}
	if err := create(path, text, 0o600); err != nil {
		return public, err
	}
	if err := create(path+".pub", append(publicText, '\n'), 0o644); err != nil {
		os.Remove(path)
		return public, err
	}
	return public, nil
}

// create writes a file that must not be there yet.
func create(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
