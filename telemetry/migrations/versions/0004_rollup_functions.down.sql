DROP VIEW reading_1d;
DROP FUNCTION reading_days;
DROP VIEW reading_1h;
DROP FUNCTION reading_hours;
DROP VIEW reading_1m;
DROP FUNCTION reading_minutes;
