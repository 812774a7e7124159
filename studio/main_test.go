package studio_test

import (
	"testing"

	"easel/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }
