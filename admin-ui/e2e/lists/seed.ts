import postgres from "postgres"
import { faces } from "../kestrel.ts"

/**
 * Adds tenants, and calls of HAIEC, the newest a minute ago. Rows only: mails, jobs and counters that would follow are
 * not what is looked at.
 */
export async function fill(tenants: number, calls: number) {
  const sql = postgres(faces().database_url, { max: 1, onnotice: () => {} })
  try {
    await sql.begin(async (tx) => {
      await tx`alter table tenants disable trigger user`
      await tx`
        insert into tenants (slug, company_name, owner_name, owner_email, industry, plan_tier, subscription_status, max_monthly_calls, current_month_calls, is_active, billing_anchor)
        select 'many-' || i, (array['Amber','Birch','Cedar','Delta','Ember'])[1 + i % 5] || ' ' || (array['Heating','Plumbing','Dental','Law'])[1 + i % 4] || ' ' || i,
          'Owner ' || i, 'owner' || i || '@many.example', (array['hvac','plumbing','dental','legal'])[1 + i % 4], (array['starter','professional','premium'])[1 + i % 3],
          (array['active','trial','suspended','pending'])[1 + i % 4], 500, i % 500, i % 4 < 2, 1 + i % 28
        from generate_series(1, ${tenants}::int) i`
      await tx`alter table tenants enable trigger user`
      await tx`alter table call_logs disable trigger user`
      await tx`
        insert into call_logs (tenant_id, call_sid, from_number, to_number, status, started_at, ended_at, duration_seconds, agent_seconds, outcome, sentiment, summary, cost_micros)
        select t.id, 'CA' || md5('many' || i), '+1617555' || lpad((i % 10000)::text, 4, '0'), '+18573825169', 'completed', at, at + interval '1 minute', 60, 55,
          (array['booked','message','answered','transferred'])[1 + i % 4], (array['positive','neutral','negative'])[1 + i % 3],
          'Call ' || i || ': asked about the furnace and wanted somebody to come by in the morning.', 85000
        from tenants t, generate_series(1, ${calls}::int) i, lateral (select now() - i * interval '1 minute' as at) w where t.slug = 'haiec'`
      await tx`alter table call_logs enable trigger user`
    })
    await sql`analyze tenants, call_logs`
  } finally {
    await sql.end()
  }
}
