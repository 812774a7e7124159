package db

import (
	"fmt"
	"math/big"

	"github.com/jackc/pgx/v5/pgtype"
)

// Seed is a numeric(20) column read as the uint64 it holds: bigint lacks the top half of a seed's
// range, and a float64 its last digits.
type Seed uint64

// ScanNumeric takes a whole number from 0 to 2^64-1; anything else, NULL too, is an error.
func (s *Seed) ScanNumeric(n pgtype.Numeric) error {
	if !n.Valid || n.NaN || n.InfinityModifier != pgtype.Finite {
		return fmt.Errorf("scan seed: not a number")
	}
	whole := new(big.Int).Set(n.Int)
	ten := big.NewInt(10)
	for range n.Exp { // Postgres strips zeros: 4000 comes as 4 with exponent 3
		whole.Mul(whole, ten)
	}
	if n.Exp < 0 || !whole.IsUint64() {
		return fmt.Errorf("scan seed: %v with exponent %d is outside 0 to 2^64-1", n.Int, n.Exp)
	}
	*s = Seed(whole.Uint64())
	return nil
}

// NumericValue is s as Postgres' numeric.
func (s Seed) NumericValue() (pgtype.Numeric, error) {
	return pgtype.Numeric{Int: new(big.Int).SetUint64(uint64(s)), Valid: true}, nil
}
