package jinja

import (
	"fmt"
	"strings"
	"time"
)

// strftime formats a local time as Python does with the C library of Linux. What it does not know it leaves as it is.
func strftime(t time.Time, format string) string {
	layouts := map[byte]string{
		'a': "Mon", 'A': "Monday", 'b': "Jan", 'h': "Jan", 'B': "January", 'd': "02", 'm': "01", 'y': "06", 'Y': "2006", 'H': "15",
		'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'P': "pm", 'j': "002", 'e': "_2", 'F': "2006-01-02", 'D': "01/02/06",
		'x': "01/02/06", 'T': "15:04:05", 'X': "15:04:05", 'R': "15:04", 'r': "03:04:05 PM", 'c': "Mon Jan _2 15:04:05 2006",
	}
	year, week := t.ISOWeek()
	weekday := int(t.Weekday())
	number := func(c byte) string {
		switch c {
		case 'G':
			return fmt.Sprint(year)
		case 'g':
			return fmt.Sprintf("%02d", year%100)
		case 'V':
			return fmt.Sprintf("%02d", week)
		case 'C':
			return fmt.Sprintf("%02d", t.Year()/100)
		case 'f':
			return fmt.Sprintf("%06d", t.Nanosecond()/1000)
		case 'U':
			return fmt.Sprintf("%02d", (t.YearDay()+6-weekday)/7)
		case 'W':
			return fmt.Sprintf("%02d", (t.YearDay()+6-(weekday+6)%7)/7)
		case 'w':
			return fmt.Sprint(weekday)
		case 'u':
			return fmt.Sprint((weekday+6)%7 + 1)
		case 's':
			return fmt.Sprint(t.Unix())
		case 'k':
			return fmt.Sprintf("%2d", t.Hour())
		case 'l':
			return fmt.Sprintf("%2d", (t.Hour()+11)%12+1)
		case '%':
			return "%"
		case 'n':
			return "\n"
		case 't':
			return "\t"
		case 'z', 'Z': // the time has no zone in Python
			return ""
		}
		return "%" + string(rune(c))
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		flag := byte(0)
		if strings.IndexByte("-_0^", format[i]) >= 0 && i+1 < len(format) {
			flag = format[i]
			i++
		}
		layout, ok := layouts[format[i]]
		field := t.Format(layout)
		if !ok {
			field = number(format[i])
		}
		// The flags of glibc say what the zeros or blanks before a number become.
		short := strings.TrimLeft(field, "0 ")
		if short == "" {
			short = "0"
		}
		switch {
		case flag == '^':
			field = strings.ToUpper(field)
		case flag == '-' && field != "":
			field = short
		case flag == '_' && field != "":
			field = fmt.Sprintf("%*s", len(field), short)
		case flag == '0':
			field = strings.ReplaceAll(field, " ", "0")
		}
		b.WriteString(field)
	}
	return b.String()
}
