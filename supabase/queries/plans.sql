-- name: ListPlans :many
select * from plans order by position, tier;
