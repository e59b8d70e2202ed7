package commerce

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/text/currency"
)

// MaxPrice is the highest price of a line, in minor units.
const MaxPrice = 1_000_000_000_000

// digitsOf returns how many digits a currency's prices have after the point (ISO 4217), and
// false unless the code is three capital letters that name one.
func digitsOf(code string) (digits int, ok bool) {
	unit, err := currency.ParseISO(code)
	if err != nil || unit.String() != code || code == "XXX" || code == "XTS" {
		return 0, false
	}
	digits, _ = currency.Standard.Rounding(unit)
	return digits, true
}

// Price writes an amount in minor units as a decimal number, such as "1234.50". It is for
// currencies that a quote may have.
func Price(minor int64, code string) string {
	digits, _ := digitsOf(code)
	text := strconv.FormatInt(minor, 10)
	if digits == 0 {
		return text
	}
	if len(text) <= digits {
		text = strings.Repeat("0", digits+1-len(text)) + text
	}
	return text[:len(text)-digits] + "." + text[len(text)-digits:]
}

// errPrice is what is wrong with a text that is no price.
var errPrice = errors.New("is no price such as 1250.00, with the decimals of its currency at most")

// ParsePrice reads an amount as Price writes it, of at most MaxPrice; decimals may be left
// out.
func ParsePrice(text, code string) (minor int64, err error) {
	digits, ok := digitsOf(code)
	whole, decimals, point := strings.Cut(text, ".")
	if !ok || whole == "" || len(whole) > 13 || len(decimals) > digits || point && decimals == "" {
		return 0, errPrice
	}
	if strings.Trim(whole+decimals, "0123456789") != "" {
		return 0, errPrice
	}
	minor, err = strconv.ParseInt(whole+decimals+strings.Repeat("0", digits-len(decimals)), 10, 64)
	if err != nil || minor > MaxPrice {
		return 0, errPrice
	}
	return minor, nil
}
